// A grid of blocks on the CPU: who runs, who waits for whom, and what is wrong if nobody can go on.
#pragma once

#include "fiber.h"
#include "guarded.h"
#include "shim.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
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

// "32 threads wait at __syncthreads() in line 7 (0 to 31), 32 threads have ended (32 to 63)"
std::string standing(const Block& block) {
    std::vector<std::pair<State, int>> places;
    for (unsigned place = 0; place < blockDim.x; place++) {
        const Thread& thread = *fibers[block.first + place];
        std::pair<State, int> here(thread.state, thread.line);
        if (std::find(places.begin(), places.end(), here) == places.end()) {
            places.push_back(here);
        }
    }
    std::string text;
    for (const auto& [state, line] : places) {
        std::string which;
        unsigned number = 0, ranges = 0;
        for (unsigned start = 0, stop; start < blockDim.x; start = stop) {
            auto here = [&](unsigned place) {
                const Thread& thread = *fibers[block.first + place];
                return thread.state == state && thread.line == line;
            };
            for (stop = start; stop < blockDim.x && here(stop); stop++) {
            }
            if (stop == start) {
                stop++;
                continue;
            }
            number += stop - start;
            if (ranges++ < 3) {
                which += which.empty() ? "" : ", ";
                which += stop == start + 1 ? format("%u", start) : format("%u to %u", start, stop - 1);
            }
        }
        which += ranges > 3 ? ", ..." : "";
        text += text.empty() ? "" : ", ";
        const char* many = number == 1 ? "" : "s";
        text += state == ENDED ? format("%u thread%s ended (%s)", number, many, which.c_str())
                               : format("%u thread%s at %s in line %d (%s)", number, many, waits_at(state), line, which.c_str());
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

// Threads that wait for each other have to wait in one line of the text.
void same_line(bool others, int theirs, int line, State state) {
    if (others && theirs != line) {
        fail(where() + format(" comes to %s in line %d, while others wait for it in line %d.", waits_at(state), line, theirs));
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
        block.memory = guarded::take(launch->shared);
        if (!block.memory) {
            fail(where() + format(": no memory for %ld bytes of shared memory.", launch->shared));
        }
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
        if (!guarded::intact(block.memory, launch->shared)) {
            fail(format("kernel '%s', block (%u, %u): wrote beyond the %ld bytes of its shared memory.", launch->kernel.c_str(),
                        block.x, blockIdx.y, launch->shared));
        }
        guarded::give_back(block.memory);
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

} // namespace

void shim::block_barrier(int line) {
    Block& block = *running->block;
    same_line(block.waiting > 0, block.line, line, AT_BARRIER);
    block.line = line;
    stop(AT_BARRIER, line);
    if (++block.waiting == blockDim.x) {
        block.waiting = 0;
        release(block.first, blockDim.x, AT_BARRIER);
    }
    give_way();
}

void(shim::cluster_barrier)(int line) {
    same_line(at_cluster_barrier > 0, cluster_line, line, AT_CLUSTER_BARRIER);
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
    same_line(warp.waiting > 0, warp.line, line, AT_SHUFFLE);
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
