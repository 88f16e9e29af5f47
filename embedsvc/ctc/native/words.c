// The trie of a lexicon, and words that are over, which a language model is asked for once each.
#include <stdlib.h>

#include "table.h"

// The first of ascending values in [first, end) that is not below `least`.
static int64_t not_below(const int64_t *values, int64_t first, int64_t end, int64_t least) {
    while (first < end) {
        int64_t middle = first + (end - first) / 2;
        if (values[middle] < least)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

// Finds the steps from the node of a row.
void steps_from(const lexicon *listed, row *of) {
    of->step = of->step_end = 0;
    if (of->node == NOWHERE) return;
    int64_t least = of->node * listed->symbols, count = listed->step_count;
    of->step = not_below(listed->steps, 0, count, least);
    // No more of them than symbols: the end is near.
    int64_t most = of->step + listed->symbols < count ? of->step + listed->symbols : count;
    of->step_end = not_below(listed->steps, of->step, most, least + listed->symbols);
}

// The node behind a label, of a row whose steps are found.
int64_t node_after(const lexicon *listed, const row *from, int64_t label) {
    const int64_t *symbols = listed->spelled + label * listed->length;
    row at = *from;
    for (int64_t each = 0; each < listed->length && symbols[each] >= 0; each++) {
        if (each) steps_from(listed, &at);
        int64_t wanted = at.node * listed->symbols + symbols[each];
        int64_t step = not_below(listed->steps, at.step, at.step_end, wanted);
        if (step == at.step_end || listed->steps[step] != wanted) return NOWHERE;
        at.node = listed->nodes[step];
    }
    return at.node;
}

static int is_word(const lexicon *listed, int64_t node) {
    if (node == NOWHERE) return 0;
    int64_t place = not_below(listed->ends, 0, listed->end_count, node);
    return place < listed->end_count && listed->ends[place] == node;
}

// Room for one more; 0 without the memory. What was asked for apart is not looked for again.
static int reserve(overs *words, int64_t apart) {
    if (words->count < words->room) return 1;
    int64_t room = 2 * words->room + 64;
    over *each = realloc(words->each, (size_t)room * sizeof *each);
    if (!each) return 0;
    words->each = each;
    if (!table_make(&words->known, room)) return 0;
    words->room = room;
    for (int64_t place = 0; place < words->count; place++)
        if (!apart || each[place].node != NOWHERE)
            table_put(&words->known, each[place].context, each[place].node, place);
    return 1;
}

static int64_t known(const overs *words, int64_t context, int64_t node) {
    int64_t slot = table_slot(&words->known, context, node);
    for (; words->known.slots[slot] >= 0; slot = (slot + 1) & (words->known.size - 1)) {
        int32_t place = words->known.slots[slot];
        if (words->each[place].context == context && words->each[place].node == node) return place;
    }
    return -1;
}

// The word of each row that is over if it is; how many of them are yet to be answered, or -1
// without the memory.
int64_t overs_ask(overs *words, const lexicon *listed, row *rows, int64_t count) {
    for (row *each = rows; each < rows + count; each++) {
        if (each->over != UNASKED || each->node == ROOT) continue;
        int listed_word = is_word(listed, each->node);
        if (!listed_word && listed->closed) {
            each->over = NO_WORD;
            continue;
        }
        if (!reserve(words, listed->apart)) return -1;
        int apart = !listed_word && listed->apart;
        int64_t node = listed_word ? each->node : NOWHERE;
        int64_t place = apart ? -1 : known(words, each->context, node);
        if (place < 0) {
            place = words->count++;
            words->each[place] = (over){0, 0, node, each->context, each->prefix};
            if (!apart) table_put(&words->known, each->context, node, place);
        }
        each->over = (int32_t)place;
    }
    return words->count - words->answered;
}

void overs_free(overs *words) {
    free(words->each);
    free(words->known.slots);
}
