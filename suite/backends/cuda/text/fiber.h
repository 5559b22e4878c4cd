// Fibers: stacks between which one process switches. On x86-64 by six registers and the stack pointer, elsewhere by ucontext.
// With -DSANITIZED every switch is announced to AddressSanitizer, with -DRACES to ThreadSanitizer: to it they are threads.
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(SANITIZED)
#include <sanitizer/common_interface_defs.h>
#elif defined(RACES)
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/tsan_interface.h>
#endif

namespace fiber {

constexpr size_t GUARD = 1 << 16; // of a stack: pages below it that nobody may touch

struct Context {
#if defined(__x86_64__)
    void* stack_pointer = nullptr;
#else
    ucontext_t registers;
#endif
    const void* stack = nullptr; // its lowest address; the main program's is learned at the first switch
    size_t size = 0;
    void* fake = nullptr; // the sanitizer's own
};

#if defined(__x86_64__)
extern "C" void switch_stacks(void** from, void* to);
asm(".text\n"
    ".globl switch_stacks\n"
    ".type switch_stacks, @function\n"
    "switch_stacks:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    ret\n"
    ".size switch_stacks, . - switch_stacks\n");
#endif

// Go on in `to`; returns when somebody switches back to `from`.
inline void change(Context& from, Context& to) {
#if defined(SANITIZED)
    __sanitizer_start_switch_fiber(&from.fake, to.stack, to.size);
#elif defined(RACES)
    if (!from.fake) {
        from.fake = __tsan_get_current_fiber(); // the main program's
    }
    __tsan_switch_to_fiber(to.fake, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(__x86_64__)
    switch_stacks(&from.stack_pointer, to.stack_pointer);
#else
    swapcontext(&from.registers, &to.registers);
#endif
#if defined(SANITIZED)
    __sanitizer_finish_switch_fiber(from.fake, nullptr, nullptr);
#endif
}

// The first thing a fiber does: `main` is who switched to it.
inline void begun([[maybe_unused]] Context& main) {
#if defined(SANITIZED)
    __sanitizer_finish_switch_fiber(nullptr, &main.stack, &main.size);
#endif
}

// A stack; `body` is called at the first switch and never returns.
// False if there is no memory.
inline bool make(Context& context, size_t size, void (*body)()) {
    void* memory = mmap(nullptr, size + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, GUARD, PROT_NONE) != 0) {
        return false;
    }
#if defined(RACES)
    context.fake = __tsan_create_fiber(0);
#endif
    unsigned char* lowest = static_cast<unsigned char*>(memory) + GUARD;
    context.stack = lowest;
    context.size = size;
#if defined(__x86_64__)
    void** top = reinterpret_cast<void**>(lowest + size);
    *--top = nullptr; // as if called: the address to return to
    *--top = reinterpret_cast<void*>(body);
    for (int registers = 0; registers < 6; registers++) {
        *--top = nullptr;
    }
    context.stack_pointer = top;
#else
    getcontext(&context.registers);
    context.registers.uc_stack.ss_sp = lowest;
    context.registers.uc_stack.ss_size = size;
    makecontext(&context.registers, body, 0);
#endif
    return true;
}

#if defined(RACES)
inline void unmake(Context& context) {
    __tsan_destroy_fiber(context.fake);
    munmap(static_cast<unsigned char*>(const_cast<void*>(context.stack)) - GUARD, context.size + GUARD);
}
#endif

// Where fibers wait for each other: what one did before it arrived, another may rely on once it has passed.
struct Meeting {
#if defined(RACES)
    char* place = new char[16]; // never freed: who comes to a new meeting has not been at an old one
    void renew() { place = new char[16]; }
    void arrive() { __tsan_release(place); }
    void pass() { __tsan_acquire(place); }
#else
    void renew() {}
    void arrive() {}
    void pass() {}
#endif
};

} // namespace fiber
