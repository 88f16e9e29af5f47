// Where things with a key of two numbers are: open addressing, at most half full.
#pragma once

#include <stdlib.h>

#include "search.h"

static inline int64_t table_slot(const table *of, int64_t first, int64_t second) {
    // Odd constants of 64 random bits, which spread neighbors over the upper half.
    uint64_t mixed = ((uint64_t)first * 0x9e3779b97f4a7c15u + (uint64_t)second) * 0xd6e8feb86659fd93u;
    return (int64_t)(mixed >> 32) & (of->size - 1);
}

// An empty table with room for `count`; 0 without the memory.
static inline int table_make(table *of, int64_t count) {
    int64_t size = 64;
    while (size < 2 * count) size *= 2;
    int32_t *slots = malloc((size_t)size * sizeof *slots);
    if (!slots) return 0;
    for (int64_t slot = 0; slot < size; slot++) slots[slot] = -1;
    free(of->slots);
    *of = (table){slots, size};
    return 1;
}

static inline void table_put(table *of, int64_t first, int64_t second, int64_t place) {
    int64_t slot = table_slot(of, first, second);
    while (of->slots[slot] >= 0) slot = (slot + 1) & (of->size - 1);
    of->slots[slot] = (int32_t)place;
}
