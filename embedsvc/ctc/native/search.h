// A prefix beam search in plain C, for any processor: what `reference.py` does, whose letters it
// has. Nothing here checks an argument; callers make sure of labels and sizes.
#pragma once

#include <math.h>
#include <stdint.h>

// Words as a trie, as `Lexicon` keeps them, and what parts them.
typedef struct {
    const int64_t *steps, *nodes; // (step_count): symbols that lead from nodes, and where
    const int64_t *ends;          // (end_count): nodes where words end, ascending
    const int64_t *spelled;       // (labels, length): symbols of labels, -1 behind the last
    const uint8_t *closes;        // (2 * labels): whether a word is over behind a column
    int64_t step_count, end_count, length, symbols; // one node more than steps
    int64_t sounding; // each label is two columns: within a word, and behind one
    int64_t closed;   // there are no other words
    int64_t apart;    // a word that is not listed is asked for with its labels: it may be a hot one
    double impossible;
} lexicon;

// Hot words, as `Automaton` keeps them.
typedef struct {
    const int32_t *after; // (states, labels)
    const double *gain;   // (states, labels)
    const double *hope;   // (states)
    int64_t first;
} automaton;

// What is searched. `words` and `hot` may be null.
typedef struct {
    const double *frames;  // (frame_count, labels)
    const int64_t *begun;  // labels that may begin, frame by frame
    const int64_t *counts; // (frame_count): how many in each
    const lexicon *words;
    const automaton *hot;
    const float *ahead; // (frame_count + 1, nodes): what lowers each node's rank, or null
    int64_t frame_count, labels, blank, width, summed;
} problem;

// Places by keys of two numbers, which are kept elsewhere; a slot is -1 where it is free.
typedef struct {
    int32_t *slots;
    int64_t size;
} table;

// All prefixes that were ever in the beam; 0 is the empty one.
typedef struct {
    int32_t *parents, *columns;
    int32_t *rows; // where each is in the beam, or -1
    int64_t count, room;
    table children;
} tree;

// A word that is over if it is: what it scores, and the words so far with it.
typedef struct {
    double score;
    int64_t then, node, context, prefix;
} over;

typedef struct {
    over *each;
    int64_t count, room, answered;
    table known;
} overs;

// The places with the highest values of those that were offered, the lowest of them on top.
typedef struct {
    double value;
    int64_t place;
} offer;

typedef struct {
    offer *items;
    int64_t count, most;
} heap;

enum { ROOT = 0, NOWHERE = -1 };   // of nodes
enum { UNASKED = -1, NO_WORD = -2 }; // instead of a place in `overs`

// A prefix in the beam. Steps from its node are in [step, step_end).
typedef struct {
    double blank, label, total, bonus, held;
    int64_t node, context, step, step_end;
    int32_t prefix, last, column, state, over;
} row;

int tree_make(tree *prefixes);
int tree_reserve(tree *prefixes, int64_t more);
int32_t tree_child(tree *prefixes, int32_t prefix, int32_t column);
void tree_free(tree *prefixes);

int64_t overs_ask(overs *words, const lexicon *listed, row *rows, int64_t count);
void overs_free(overs *words);

void steps_from(const lexicon *listed, row *of);
int64_t node_after(const lexicon *listed, const row *from, int64_t label);

// A value must be above this one to be kept.
static inline double heap_least(const heap *best) {
    if (best->count < best->most) return -INFINITY;
    return best->most ? best->items[0].value : INFINITY;
}

void heap_offer(heap *best, double value, int64_t place);
void heap_in_order(heap *best);
