// Memory that tells. It starts as NaN, and lies between two guards: what is read beyond it is NaN, what is written beyond it is
// found. Under AddressSanitizer there are no guards, so that it sees the step itself.
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

namespace guarded {

#if defined(SANITIZED)
constexpr size_t GUARD = 0;
#else
constexpr size_t GUARD = 4096;
#endif
// Of a float and of a double a NaN, and another one than memory starts with, which may be carried to here.
constexpr unsigned char PATTERN[4] = {0x5a, 0x5a, 0xff, 0xff};

// Null if there is none.
inline unsigned char* take(size_t size) {
    unsigned char* all = static_cast<unsigned char*>(malloc(size + 2 * GUARD));
    if (!all) {
        return nullptr;
    }
    for (size_t place = 0; place < GUARD; place++) {
        all[place] = PATTERN[place % 4];
        all[GUARD + size + place] = PATTERN[(GUARD + size + place) % 4];
    }
    memset(all + GUARD, 0xff, size);
    return all + GUARD;
}

inline bool intact(const unsigned char* memory, size_t size) {
    const unsigned char* all = memory - GUARD;
    for (size_t place = 0; place < GUARD; place++) {
        if (all[place] != PATTERN[place % 4] || all[GUARD + size + place] != PATTERN[(GUARD + size + place) % 4]) {
            return false;
        }
    }
    return true;
}

inline void give_back(unsigned char* memory) { free(memory - GUARD); }

} // namespace guarded
