// The program that runs a generated text on the CPU: it reads one request, runs its launches in turn and writes the buffers.
//
//   kernels ORDER REQUEST ANSWER
//
// ORDER is "in order", "reversed", "shuffled SEED" or "greedy" (a warp runs as far as it can before the next one starts).
// REQUEST, numbers of 8 bytes: how many buffers, the bytes of each; how many launches, and of each: bytes of the kernel's name,
// programs, tiles, threads, cluster, shared, width, the name, programs * width pairs (buffer or -1, offset in it or the
// number itself); then the buffers' contents, which is all of ANSWER. A fault ends the program with one message on stderr.
#include "shim.h"
#include "fiber.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <string>
#include <vector>

Index threadIdx, blockIdx, blockDim, gridDim;
unsigned char* shim::shared;
unsigned shim::rank;

namespace {

#if defined(SANITIZED)
constexpr size_t STACK = 1 << 20;
#else
constexpr size_t STACK = 1 << 18;
#endif
constexpr unsigned WARP = 32;
constexpr int FAULT = 3;

enum State { READY, AT_BARRIER, AT_CLUSTER_BARRIER, AT_SHUFFLE, ENDED };

struct Block {
    unsigned rank, x, first; // its first thread, counted over the cluster
    unsigned char* memory;
    unsigned waiting = 0, ended = 0;
    int line = 0;         // of the barrier they wait at
    long last_store = -1; // the cluster's phase in which another block stored here last
};

struct Warp {
    unsigned first, lanes; // its first thread, counted over the cluster
    unsigned waiting = 0, size = 0, distance = 0, turn = 0;
    int line = 0;
    unsigned char values[2][WARP][8]; // taken in turn: a lane may come with its next value before another has read the last
};

struct Thread {
    fiber::Context context;
    State state;
    int line;
    unsigned place; // in its block
    Block* block;
    Warp* warp;
};

struct Launch {
    std::string kernel;
    long programs, tiles, threads, cluster, shared, width;
    const long long* table;
};

using Kernel = void (*)(const long long*);

std::string order;
uint64_t seed = 0;
const Launch* launch;
Kernel kernel;
fiber::Context scheduler;
std::vector<Thread*> fibers; // made as needed and kept
std::vector<Block> blocks;   // of the cluster that runs
std::vector<Warp> warps;
std::vector<unsigned> ready; // for the shuffled orders: threads that can go on
bool shuffled = false;
unsigned count = 0, at_cluster_barrier = 0;
int cluster_line = 0;
long phase = 0; // cluster barriers passed
Thread* running = nullptr;

std::string format(const char* form, ...) {
    char text[1024];
    va_list values;
    va_start(values, form);
    vsnprintf(text, sizeof text, form, values);
    va_end(values);
    return text;
}

std::string where() {
    std::string text = launch ? "kernel '" + launch->kernel + "'" : "no kernel yet";
    if (running) {
        text += format(", block (%u, %u), thread %u", running->block->x, blockIdx.y, running->place);
    }
    return text;
}

[[noreturn]] void fail(const std::string& message) {
    fprintf(stderr, "%s\n", message.c_str());
    fflush(stderr);
    _exit(FAULT);
}

const char* waits_at(State state) {
    return state == AT_BARRIER           ? "__syncthreads()"
           : state == AT_CLUSTER_BARRIER ? "cluster_barrier()"
                                         : "__shfl_xor_sync()";
}

// "threads 0 to 31 wait at __syncthreads() in line 7, threads 32 to 63 have ended"
std::string standing(const Block& block) {
    std::string text;
    unsigned threads = blockDim.x;
    for (unsigned start = 0, stop; start < threads; start = stop) {
        const Thread& first = *fibers[block.first + start];
        for (stop = start + 1; stop < threads; stop++) {
            const Thread& other = *fibers[block.first + stop];
            if (other.state != first.state || (other.state != ENDED && other.line != first.line)) {
                break;
            }
        }
        text += text.empty() ? "" : ", ";
        text += stop == start + 1 ? format("thread %u ", start) : format("threads %u to %u ", start, stop - 1);
        bool one = stop == start + 1;
        text += first.state == ENDED ? (one ? "has ended" : "have ended")
                                     : format("%s at %s in line %d", one ? "waits" : "wait", waits_at(first.state), first.line);
        if (text.size() > 600) {
            return text + ", ...";
        }
    }
    return text;
}

[[noreturn]] void stuck() {
    std::string text = "kernel '" + launch->kernel + "': no thread can go on.";
    for (const Block& block : blocks) {
        text += format(" Block (%u, %u): ", block.x, blockIdx.y) + standing(block) + ".";
    }
    fail(text);
}

void run(unsigned index) {
    Thread* thread = fibers[index];
    running = thread;
    threadIdx.x = thread->place;
    blockIdx.x = thread->block->x;
    shim::shared = thread->block->memory;
    shim::rank = thread->block->rank;
    fiber::change(scheduler, thread->context);
    running = nullptr;
}

void stop(State state, int line) {
    running->state = state;
    running->line = line;
}

void give_way() { fiber::change(running->context, scheduler); }

// Threads that wait at one place have to wait in one line of the text.
void same_line(bool others, int theirs, int line, State state, const Block& block) {
    if (others && theirs != line) {
        fail(where() + format(" comes to %s in line %d, and others of the block to another: ", waits_at(state), line) +
             standing(block) + ".");
    }
}

void release(unsigned first, unsigned number, State from) {
    for (unsigned index = first; index < first + number; index++) {
        if (fibers[index]->state == from) {
            fibers[index]->state = READY;
            if (shuffled) {
                ready.push_back(index);
            }
        }
    }
}

void body() {
    fiber::begun(scheduler);
    for (;;) {
        kernel(launch->table);
        if (running->block->last_store == phase) {
            fail(where() + ": the block ends although another block stored into its shared memory after the last "
                           "cluster_barrier(). A cluster_barrier() is missing at the end.");
        }
        running->block->ended++;
        stop(ENDED, 0);
        give_way();
    }
}

uint64_t random_number() { // xorshift64*
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (seed * 2685821657736338717ull) >> 33;
}

void sweep(bool reversed) {
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned step = 0; step < count; step++) {
            unsigned index = reversed ? count - 1 - step : step;
            if (fibers[index]->state == READY) {
                run(index);
                moved = true;
            }
        }
    }
}

void shuffle() {
    ready.resize(count);
    for (unsigned index = 0; index < count; index++) {
        ready[index] = index;
    }
    while (!ready.empty()) {
        size_t chosen = random_number() % ready.size();
        unsigned index = ready[chosen];
        ready[chosen] = ready.back();
        ready.pop_back();
        run(index);
    }
}

void greedy() {
    for (bool moved = true; moved;) {
        moved = false;
        for (const Warp& warp : warps) {
            for (bool went = true; went;) {
                went = false;
                for (unsigned index = warp.first; index < warp.first + warp.lanes; index++) {
                    if (fibers[index]->state == READY) {
                        run(index);
                        went = moved = true;
                    }
                }
            }
        }
    }
}

void run_cluster(unsigned tile) {
    unsigned threads = launch->threads, size = launch->cluster, per_block = (threads + WARP - 1) / WARP;
    count = threads * size;
    blocks.assign(size, Block());
    warps.assign(size * per_block, Warp());
    at_cluster_barrier = 0;
    phase = 0;
    while (fibers.size() < count) {
        fibers.push_back(new Thread());
        if (!fiber::make(fibers.back()->context, STACK, body)) {
            fail(where() + format(": no memory for the stacks of %u threads.", count));
        }
    }
    for (unsigned rank = 0; rank < size; rank++) {
        Block& block = blocks[rank];
        block.rank = rank;
        block.x = tile * size + rank;
        block.first = rank * threads;
        block.memory = static_cast<unsigned char*>(malloc(launch->shared));
        memset(block.memory, 0xff, launch->shared); // NaN in every format
        for (unsigned place = 0; place < threads; place++) {
            Thread& thread = *fibers[block.first + place];
            thread.state = READY;
            thread.place = place;
            thread.block = &block;
            thread.warp = &warps[rank * per_block + place / WARP];
            if (place % WARP == 0) {
                thread.warp->first = block.first + place;
                thread.warp->lanes = threads - place < WARP ? threads - place : WARP;
            }
        }
    }
    if (shuffled) {
        shuffle();
    } else if (order == "greedy") {
        greedy();
    } else {
        sweep(order == "reversed");
    }
    for (Block& block : blocks) {
        if (block.ended != threads) {
            stuck();
        }
    }
    for (Block& block : blocks) {
        free(block.memory);
    }
}

void run_launch(const Launch& asked) {
    launch = &asked;
    kernel = reinterpret_cast<Kernel>(dlsym(RTLD_DEFAULT, asked.kernel.c_str()));
    if (!kernel) {
        fail("kernel '" + asked.kernel + "': the text has none of this name.");
    }
    blockDim = {static_cast<unsigned>(asked.threads), 1, 1};
    gridDim = {static_cast<unsigned>(asked.cluster * asked.tiles), static_cast<unsigned>(asked.programs), 1};
    bool backwards = order == "reversed";
    long clusters = asked.programs * asked.tiles;
    for (long step = 0; step < clusters; step++) {
        long cluster = backwards ? clusters - 1 - step : step;
        blockIdx.y = cluster / asked.tiles;
        run_cluster(cluster % asked.tiles);
    }
    launch = nullptr;
}

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

#if defined(SANITIZED)
void on_death() { fprintf(stderr, "%s\n", where().c_str()); }
#else
char alternate[1 << 16]; // a stack for who learns that a stack is full

void on_signal(int signal) {
    fail(where() + ": " + strsignal(signal) + ". An address is wrong, or a thread's local arrays are larger than its stack.");
}
#endif

} // namespace

void shim::block_barrier(int line) {
    Block& block = *running->block;
    same_line(block.waiting > 0, block.line, line, AT_BARRIER, block);
    block.line = line;
    stop(AT_BARRIER, line);
    if (++block.waiting == blockDim.x) {
        block.waiting = 0;
        release(block.first, blockDim.x, AT_BARRIER);
    }
    give_way();
}

void(shim::cluster_barrier)(int line) {
    same_line(at_cluster_barrier > 0, cluster_line, line, AT_CLUSTER_BARRIER, *running->block);
    cluster_line = line;
    stop(AT_CLUSTER_BARRIER, line);
    if (++at_cluster_barrier == count) {
        at_cluster_barrier = 0;
        phase++;
        release(0, count, AT_CLUSTER_BARRIER);
    }
    give_way();
}

void shim::exchange(unsigned mask, const void* mine, void* theirs, unsigned size, unsigned distance, int line) {
    Warp& warp = *running->warp;
    unsigned lane = running->place % WARP, other = lane ^ distance;
    if (mask != 0xffffffffu) {
        fail(where() + format(": __shfl_xor_sync() in line %d with the mask %#x; expected 0xffffffffu.", line, mask));
    }
    if (other >= warp.lanes) {
        fail(where() + format(": __shfl_xor_sync() in line %d asks lane %u; the warp has %u.", line, other, warp.lanes));
    }
    same_line(warp.waiting > 0, warp.line, line, AT_SHUFFLE, *running->block);
    if (warp.waiting > 0 && (warp.size != size || warp.distance != distance)) {
        fail(where() + format(": __shfl_xor_sync() in line %d of %u bytes over %u lanes; others of the warp: %u bytes over %u.",
                              line, size, distance, warp.size, warp.distance));
    }
    warp.line = line;
    warp.size = size;
    warp.distance = distance;
    unsigned turn = warp.turn;
    memcpy(warp.values[turn][lane], mine, size);
    stop(AT_SHUFFLE, line);
    if (++warp.waiting == warp.lanes) {
        warp.waiting = 0;
        warp.turn = 1 - turn;
        release(warp.first, warp.lanes, AT_SHUFFLE);
    }
    give_way();
    memcpy(theirs, warp.values[turn][other], size);
}

void* shim::in_cluster(const void* own, unsigned rank, unsigned size) {
    long offset = static_cast<const unsigned char*>(own) - shim::shared;
    if (rank >= blocks.size()) {
        fail(where() + format(": cluster_store() to block %u of a cluster of %zu.", rank, blocks.size()));
    }
    if (offset < 0 || offset + size > launch->shared) {
        fail(where() + format(": cluster_store() to byte %ld of the shared memory, which has %ld.", offset, launch->shared));
    }
    Block& block = blocks[rank];
    if (&block != running->block) {
        if (phase == 0) {
            fail(where() + format(": cluster_store() to block %u, which may not run yet. A cluster_barrier() is missing before.", rank));
        }
        if (block.ended > 0) {
            fail(where() + format(": cluster_store() to block %u, which has ended. A cluster_barrier() is missing at the end.", rank));
        }
        block.last_store = phase;
    }
    return block.memory + offset;
}

int main(int arguments, char** argument) {
    if (arguments != 4) {
        fail("kernels ORDER REQUEST ANSWER");
    }
    order = argument[1];
    shuffled = order.rfind("shuffled ", 0) == 0;
    if (shuffled) {
        seed = 0x9e3779b97f4a7c15ull * (strtoul(order.c_str() + 9, nullptr, 10) + 1);
    }
#if defined(SANITIZED)
    __sanitizer_set_death_callback(on_death);
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
        buffers.push_back(static_cast<unsigned char*>(malloc(size))); // no byte more: a step beyond is one the sanitizer sees
    }
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
