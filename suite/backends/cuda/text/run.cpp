// The program that runs a generated text on the CPU: it reads one request, runs its launches in turn and writes the buffers.
//
//   kernels ORDER REQUEST ANSWER
//
// ORDER is "in order", "reversed", "shuffled SEED" or "greedy" (a warp runs as far as it can before the next one starts).
// REQUEST, numbers of 8 bytes: how many buffers, the bytes of each; how many launches, and of each: bytes of the kernel's name,
// programs, tiles, threads, cluster, shared, width, the name, programs * width pairs (buffer or -1, offset in it or the
// number itself); then the buffers' contents, which is all of ANSWER. A fault ends the program with one message on stderr.
#include "grid.h"

#include <signal.h>

namespace {

void read(FILE* file, void* into, size_t bytes) {
    if (bytes && fread(into, 1, bytes, file) != bytes) {
        fail("the request is shorter than it says.");
    }
}

long number(FILE* file) {
    int64_t value;
    read(file, &value, sizeof value);
    return value;
}

#if defined(SANITIZED) || defined(RACES)
// The other sanitizers call it, UndefinedBehaviorSanitizer raises SIGABRT.
void on_death() { fprintf(stderr, "%s\n", where().c_str()); }

void on_signal(int) {
    on_death();
    _exit(FAULT);
}
#else
char alternate[1 << 16]; // a stack for who learns that a stack is full

void on_signal(int signal) {
    fail(where() + ": " + strsignal(signal) + ". An address is wrong, or a thread's local arrays are larger than its stack.");
}
#endif

} // namespace

int main(int arguments, char** argument) {
    if (arguments != 4) {
        fail("kernels ORDER REQUEST ANSWER");
    }
    order = argument[1];
    shuffled = order.rfind("shuffled ", 0) == 0;
    if (shuffled) {
        seed = 0x9e3779b97f4a7c15ull * (strtoul(order.c_str() + 9, nullptr, 10) + 1);
    }
#if defined(SANITIZED) || defined(RACES)
    __sanitizer_set_death_callback(on_death);
    signal(SIGABRT, on_signal);
#else
    stack_t stack = {};
    stack.ss_sp = alternate;
    stack.ss_size = sizeof alternate;
    sigaltstack(&stack, nullptr);
    struct sigaction action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_ONSTACK;
    for (int each : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
        sigaction(each, &action, nullptr);
    }
#endif
    FILE* request = fopen(argument[2], "rb");
    if (!request) {
        fail(std::string("no request ") + argument[2] + ".");
    }
    std::vector<size_t> sizes(number(request));
    for (size_t& size : sizes) {
        size = number(request);
    }
    std::vector<unsigned char*> buffers;
    for (size_t size : sizes) {
        buffers.push_back(guarded::take(size));
        if (!buffers.back()) {
            fail(format("no memory for a buffer of %zu bytes.", size));
        }
    }
    std::vector<long> columns(sizes.size()); // of a table in which the buffer stands
    std::vector<Launch> launches(number(request));
    for (Launch& each : launches) {
        each.kernel.resize(number(request));
        for (long* size : {&each.programs, &each.tiles, &each.threads, &each.cluster, &each.shared, &each.width}) {
            *size = number(request);
        }
        read(request, each.kernel.data(), each.kernel.size());
        long entries = each.programs * each.width;
        long long* table = static_cast<long long*>(malloc(entries * sizeof(long long)));
        for (long entry = 0; entry < entries; entry++) {
            long buffer = number(request), value = number(request);
            if (buffer >= 0) {
                columns[buffer] = entry % each.width;
            }
            table[entry] = buffer < 0 ? value : reinterpret_cast<long long>(buffers[buffer]) + value;
        }
        each.table = table;
    }
    for (size_t index = 0; index < sizes.size(); index++) {
        read(request, buffers[index], sizes[index]);
    }
    fclose(request);
    for (const Launch& each : launches) {
        run_launch(each);
        for (size_t index = 0; index < sizes.size(); index++) {
            if (!guarded::intact(buffers[index], sizes[index])) {
                fail(format("kernel '%s' wrote beyond the %zu bytes of a buffer, the one of column %ld.",
                            each.kernel.c_str(), sizes[index], columns[index]));
            }
        }
    }
    FILE* answer = fopen(argument[3], "wb");
    for (size_t index = 0; answer && index < sizes.size(); index++) {
        fwrite(buffers[index], 1, sizes[index], answer);
    }
    if (!answer || fclose(answer) != 0) {
        fail(std::string("the answer ") + argument[3] + " cannot be written.");
    }
    fflush(nullptr);
    _exit(0);
}
