// Prefixes as a tree: each is one number for good, however often it leaves the beam.
#include <stdlib.h>

#include "table.h"

static int grown(int32_t **values, int64_t room) {
    int32_t *moved = realloc(*values, (size_t)room * sizeof **values);
    if (moved) *values = moved;
    return moved != NULL;
}

// Room for `more` prefixes; 0 without the memory.
int tree_reserve(tree *prefixes, int64_t more) {
    int64_t room = prefixes->room;
    if (prefixes->count + more <= room) return 1;
    while (room < prefixes->count + more) room = 2 * room + 64;
    if (!grown(&prefixes->parents, room) || !grown(&prefixes->columns, room) ||
        !grown(&prefixes->rows, room) || !table_make(&prefixes->children, room))
        return 0;
    prefixes->room = room;
    for (int64_t each = 1; each < prefixes->count; each++)
        table_put(&prefixes->children, prefixes->parents[each], prefixes->columns[each], each);
    return 1;
}

int tree_make(tree *prefixes) {
    if (!tree_reserve(prefixes, 1)) return 0;
    prefixes->parents[0] = prefixes->columns[0] = -1;
    prefixes->rows[0] = 0;
    prefixes->count = 1;
    return 1;
}

// The prefix that goes on with a column; the same one each time. Room is reserved.
int32_t tree_child(tree *prefixes, int32_t prefix, int32_t column) {
    table *children = &prefixes->children;
    int64_t slot = table_slot(children, prefix, column);
    for (; children->slots[slot] >= 0; slot = (slot + 1) & (children->size - 1)) {
        int32_t child = children->slots[slot];
        if (prefixes->parents[child] == prefix && prefixes->columns[child] == column) return child;
    }
    int32_t child = (int32_t)prefixes->count++;
    children->slots[slot] = child;
    prefixes->parents[child] = prefix;
    prefixes->columns[child] = column;
    prefixes->rows[child] = -1;
    return child;
}

void tree_free(tree *prefixes) {
    free(prefixes->parents);
    free(prefixes->columns);
    free(prefixes->rows);
    free(prefixes->children.slots);
}
