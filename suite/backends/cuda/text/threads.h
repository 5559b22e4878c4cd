// A grid of blocks on the CPU: the threads, blocks and warps of a cluster, who waits where, and how a fault is told.
#pragma once

#include "fiber.h"
#include "shim.h"

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
    unsigned turn = 0;    // of the two meetings: who is through one barrier may come to the next before another is through
    fiber::Meeting barrier[2];
    long last_store = -1; // the cluster's phase in which another block stored here last
};

struct Warp {
    unsigned first, lanes; // its first thread, counted over the cluster
    unsigned waiting = 0, size = 0, distance = 0, turn = 0;
    int line = 0;
    uint64_t values[2][WARP]; // taken in turn: a lane may come with its next value before another has read the last
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
std::vector<unsigned char*> memories; // of all blocks of the launch
std::vector<Warp> warps;
std::vector<unsigned> ready; // for the shuffled orders: threads that can go on
bool shuffled = false;
unsigned count = 0, at_cluster_barrier = 0;
int cluster_line = 0;
long phase = 0; // cluster barriers passed
fiber::Meeting cluster_meeting[2], start, end;
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

} // namespace
