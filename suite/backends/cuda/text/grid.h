// A grid of blocks on the CPU: who runs when, and who waits for whom.
#pragma once

#include "guarded.h"
#include "threads.h"

#include <dlfcn.h>

namespace {

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
        start.pass();
        kernel(launch->table);
        end.arrive();
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
        for (int turn : {0, 1}) {
            block.barrier[turn].renew();
            cluster_meeting[turn].renew();
        }
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
    start.arrive();
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
        memories.push_back(block.memory);
    }
#if defined(RACES)
    for (Thread* thread : fibers) { // the next cluster's threads are others, which know nothing of what these have done
        fiber::unmake(thread->context);
        delete thread;
    }
    fibers.clear();
#endif
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
    end.pass(); // only now, so that nothing orders the clusters of a launch
    for (unsigned char* memory : memories) {
        guarded::give_back(memory);
    }
    memories.clear();
    launch = nullptr;
}

} // namespace

void shim::block_barrier(int line) {
    Block& block = *running->block;
    same_line(block.waiting > 0, block.line, line, AT_BARRIER);
    block.line = line;
    stop(AT_BARRIER, line);
    fiber::Meeting& meeting = block.barrier[block.turn];
    meeting.arrive();
    if (++block.waiting == blockDim.x) {
        block.waiting = 0;
        block.turn = 1 - block.turn;
        release(block.first, blockDim.x, AT_BARRIER);
    }
    give_way();
    meeting.pass();
}

void(shim::cluster_barrier)(int line) {
    same_line(at_cluster_barrier > 0, cluster_line, line, AT_CLUSTER_BARRIER);
    cluster_line = line;
    stop(AT_CLUSTER_BARRIER, line);
    fiber::Meeting& meeting = cluster_meeting[phase % 2];
    meeting.arrive();
    if (++at_cluster_barrier == count) {
        at_cluster_barrier = 0;
        phase++;
        release(0, count, AT_CLUSTER_BARRIER);
    }
    give_way();
    meeting.pass();
}

uint64_t shim::exchange(unsigned mask, uint64_t mine, unsigned size, unsigned distance, int line) {
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
    warp.values[turn][lane] = mine;
    stop(AT_SHUFFLE, line);
    if (++warp.waiting == warp.lanes) {
        warp.waiting = 0;
        warp.turn = 1 - turn;
        release(warp.first, warp.lanes, AT_SHUFFLE);
    }
    give_way();
    return warp.values[turn][other];
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
