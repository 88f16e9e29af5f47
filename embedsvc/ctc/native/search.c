// The beam, frame by frame. It stops where a language model must be asked, and then goes on.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search.h"

typedef struct {
    problem given;
    int64_t frame, begun; // where it is
    tree prefixes;
    overs words;
    row *rows, *next; // (width)
    int64_t count;
    // What a frame may say: columns, their labels and log-probabilities.
    int64_t *columns, *labels, column_count;
    double *heard;
    uint8_t *plain;  // what adds nothing to any row
    // (symbols): whether a symbol begins a word, and whether it follows the node of a row.
    uint8_t *begins, *follows;
    int32_t *places; // (2 * labels): where a column is among those of a frame, or -1
    double *longer;  // (width, columns): prefixes with a column more
    heap best, sober, rest;
} search;

// What a row becomes with a column more.
typedef struct {
    double bonus, hope;
    int32_t state;
    int closes;
} step;

static double sum(double one, double other) {
    if (one == other) return one + M_LN2; // both may be -inf
    double apart = one - other;
    return apart > 0 ? one + log1p(exp(-apart)) : other + log1p(exp(apart));
}

static double joined(const search *s, double one, double other) {
    return s->given.summed ? sum(one, other) : one > other ? one : other;
}

static void begin(search *s, const double *frame) {
    const problem *given = &s->given;
    int64_t count = given->counts[s->frame], kinds = given->words && given->words->sounding ? 2 : 1;
    for (int64_t place = 0; place < kinds * count; place++) {
        int64_t label = given->begun[s->begun + place % count];
        s->labels[place] = label;
        s->columns[place] = place < count ? label : label + given->labels;
        s->heard[place] = frame[label];
        s->plain[place] = !given->hot && !(given->words && given->words->closes[s->columns[place]]);
    }
    s->column_count = kinds * count;
}

static int may_close(const search *s) {
    for (int64_t place = 0; s->given.words && place < s->column_count; place++)
        if (s->given.words->closes[s->columns[place]]) return 1;
    return 0;
}

// The totals of rows that stay, and of those that are longer by a column.
static void go_on(search *s, const double *frame) {
    for (int64_t place = 0; place < s->count; place++) {
        row *each = s->rows + place;
        double *longer = s->longer + place * s->column_count;
        int64_t last = each->last;
        for (int64_t column = 0; column < s->column_count; column++) {
            // An equal label begins anew only after a blank.
            double before = s->labels[column] == last ? each->blank : each->total;
            longer[column] = before + s->heard[column];
        }
        each->label = each->last < 0 ? -INFINITY : each->label + frame[each->last];
        each->blank = each->total + frame[s->given.blank];
    }
}

// What is longer may be in the beam already.
static void merge(search *s) {
    for (int64_t place = 0; place < s->column_count; place++)
        s->places[s->columns[place]] = (int32_t)place;
    for (row *each = s->rows; each < s->rows + s->count; each++) {
        if (!each->prefix) continue;
        int32_t parent = s->prefixes.rows[s->prefixes.parents[each->prefix]];
        int32_t place = s->places[each->column];
        if (parent < 0 || place < 0) continue;
        double *longer = s->longer + parent * s->column_count + place;
        each->label = joined(s, each->label, *longer);
        *longer = -INFINITY;
    }
    for (int64_t place = 0; place < s->column_count; place++) s->places[s->columns[place]] = -1;
}

static step taken(const search *s, const row *from, int64_t place) {
    const problem *given = &s->given;
    step found = {from->bonus, 0, from->state, 0};
    if (given->hot) {
        int64_t cell = from->state * given->labels + s->labels[place];
        found.state = given->hot->after[cell];
        found.bonus += given->hot->gain[cell];
        found.hope = given->hot->hope[found.state];
    }
    if (given->words) {
        int64_t column = s->columns[place];
        found.closes = from->node != ROOT && given->words->closes[column];
        if (found.closes)
            found.bonus += from->over < 0 ? -INFINITY : s->words.each[from->over].score;
        else if (given->words->sounding && column >= given->labels)
            found.bonus = -INFINITY; // behind a word there must have been one
    }
    return found;
}

// What is known of the words of a row, `to`, that is one column longer than `from`.
static void read_on(const search *s, const row *from, int64_t place, const step *by, row *to) {
    const lexicon *words = s->given.words;
    row start = *from;
    if (by->closes) {
        start.node = ROOT;
        steps_from(words, &start);
        to->context = s->words.each[from->over].then;
    }
    to->node = node_after(words, &start, s->labels[place]);
    // The beginning of a hot word is that of a known one.
    int known = to->node != NOWHERE || (by->hope > 0 && !words->closed);
    to->held = known ? 0 : words->impossible;
}

// What the frames to come say of a node behind this one.
static double ahead_of(const search *s, int64_t node) {
    if (!s->given.ahead || node == NOWHERE) return 0;
    return s->given.ahead[(s->frame + 1) * (s->given.words->step_count + 1) + node];
}

static void mark(const search *s, uint8_t *symbols, const row *of, uint8_t value) {
    const lexicon *words = s->given.words;
    for (int64_t step = of->step; words && step < of->step_end; step++)
        symbols[words->steps[step] % words->symbols] = value;
}

// Whether a column leads to no node, which the first symbol of most tells.
static int is_barred(const search *s, const row *from, int64_t place) {
    const lexicon *words = s->given.words;
    if (!words || !words->closed) return 0;
    int64_t symbol = words->spelled[s->labels[place] * words->length];
    int closes = from->node != ROOT && words->closes[s->columns[place]];
    return symbol >= 0 && !(closes ? s->begins : s->follows)[symbol];
}

static void offer_longer(search *s, const row *from, int64_t first) {
    const double *longer = s->longer + (from - s->rows) * s->column_count;
    double least = heap_least(&s->best);
    row to;
    mark(s, s->follows, from, 1);
    for (int64_t place = 0; place < s->column_count; place++) {
        // Most are not likely enough, which takes most of the time. What holds a row back and what
        // is ahead is not known yet here, but only lowers it.
        if (s->plain[place] && !(longer[place] + from->bonus > least)) continue;
        if (is_barred(s, from, place)) continue;
        step by = taken(s, from, place);
        double value = longer[place] + by.bonus;
        if (!(value > least || value - by.hope > heap_least(&s->sober))) continue;
        if (s->given.words) {
            read_on(s, from, place, &by, &to);
            value += to.held;
            value += ahead_of(s, to.node);
        }
        heap_offer(&s->best, value, first + place);
        heap_offer(&s->sober, value - by.hope, first + place);
        least = heap_least(&s->best);
    }
    mark(s, s->follows, from, 0);
}

static double hope_of(const search *s, int64_t place) {
    if (place < s->count) return s->given.hot->hope[s->rows[place].state];
    place -= s->count;
    return taken(s, s->rows + place / s->column_count, place % s->column_count).hope;
}

// Half of the beam is for what is likely without that which hot words only may add.
static void keep_sober(search *s) {
    heap *best = &s->best, *sober = &s->sober, *rest = &s->rest;
    int hoping = 0;
    for (int64_t each = 0; each < best->count; each++)
        hoping |= hope_of(s, best->items[each].place) != 0;
    if (!hoping || best->count < best->most) return;
    heap_in_order(best);
    heap_in_order(sober);
    rest->count = 0;
    int64_t at = 0;
    for (int64_t each = 0; each < best->count; each++) {
        int64_t place = best->items[each].place;
        while (at < sober->count && sober->items[at].place < place) at++;
        if (at < sober->count && sober->items[at].place == place) continue;
        heap_offer(rest, best->items[each].value, place);
    }
    memcpy(best->items, sober->items, (size_t)sober->count * sizeof *sober->items);
    memcpy(best->items + sober->count, rest->items, (size_t)rest->count * sizeof *rest->items);
    best->count = sober->count + rest->count;
}

// Finds the best of the rows that stay and of those that are longer.
static void choose(search *s) {
    s->best.count = s->sober.count = 0;
    for (int64_t place = 0; place < s->count; place++) {
        row *each = s->rows + place;
        each->total = joined(s, each->blank, each->label);
        double value = each->total + each->bonus + each->held + ahead_of(s, each->node);
        heap_offer(&s->best, value, place);
        if (s->given.hot) heap_offer(&s->sober, value - s->given.hot->hope[each->state], place);
    }
    for (int64_t place = 0; place < s->count; place++)
        offer_longer(s, s->rows + place, s->count + place * s->column_count);
    if (s->given.hot) keep_sober(s);
    heap_in_order(&s->best);
}

static row grown(search *s, int64_t place) {
    int64_t parent = place / s->column_count, column = place % s->column_count;
    const row *from = s->rows + parent;
    step by = taken(s, from, column);
    row to = *from;
    to.blank = -INFINITY;
    to.label = to.total = s->longer[place];
    to.bonus = by.bonus;
    to.state = by.state;
    to.over = UNASKED;
    to.last = (int32_t)s->labels[column];
    to.column = (int32_t)s->columns[column];
    to.prefix = tree_child(&s->prefixes, from->prefix, to.column);
    if (s->given.words) {
        read_on(s, from, column, &by, &to);
        steps_from(s->given.words, &to);
    }
    return to;
}

static void keep(search *s) {
    for (int64_t each = 0; each < s->best.count; each++) {
        int64_t place = s->best.items[each].place;
        s->next[each] = place < s->count ? s->rows[place] : grown(s, place - s->count);
    }
    for (int64_t each = 0; each < s->count; each++) s->prefixes.rows[s->rows[each].prefix] = -1;
    row *before = s->rows;
    s->rows = s->next;
    s->next = before;
    s->count = s->best.count;
    for (int64_t each = 0; each < s->count; each++)
        s->prefixes.rows[s->rows[each].prefix] = (int32_t)each;
}

// Goes on to the end, or to where words must be answered: how many, or -1 without the memory.
int64_t search_run(search *s) {
    for (; s->frame < s->given.frame_count; s->begun += s->given.counts[s->frame++]) {
        const double *frame = s->given.frames + s->frame * s->given.labels;
        begin(s, frame);
        if (may_close(s)) {
            int64_t asked = overs_ask(&s->words, s->given.words, s->rows, s->count);
            if (asked) return asked;
        }
        if (!tree_reserve(&s->prefixes, s->given.width)) return -1;
        go_on(s, frame);
        if (s->column_count) {
            merge(s);
            choose(s);
            keep(s);
            continue;
        }
        for (row *each = s->rows; each < s->rows + s->count; each++)
            each->total = joined(s, each->blank, each->label);
    }
    return 0;
}

// The words that are asked for, as node, context and prefix of each.
void search_asked(const search *s, int64_t *asked) {
    const overs *words = &s->words;
    for (int64_t place = words->answered; place < words->count; place++) {
        const over *each = words->each + place;
        memcpy(asked, (int64_t[]){each->node, each->context, each->prefix}, 3 * sizeof *asked);
        asked += 3;
    }
}

// What they score, and the words so far with each of them.
void search_answer(search *s, const double *scores, const int64_t *contexts) {
    overs *words = &s->words;
    for (; words->answered < words->count; words->answered++) {
        words->each[words->answered].score = *scores++;
        words->each[words->answered].then = *contexts++;
    }
}

// The beam, the totals and bonuses of it, and prefix, state, node and context; how many there are.
int64_t search_last(const search *s, double *scores, int64_t *places) {
    for (const row *each = s->rows; each < s->rows + s->count; each++) {
        *scores++ = each->total;
        *scores++ = each->bonus;
        *places++ = each->prefix;
        *places++ = each->state;
        *places++ = each->node;
        *places++ = each->context;
    }
    return s->count;
}

// The columns of a prefix behind the last that is `stop`, the last first; how many there are, at
// most one a frame.
int64_t search_columns(const search *s, int64_t prefix, int64_t stop, int64_t *columns) {
    int64_t count = 0;
    for (; prefix && s->prefixes.columns[prefix] != stop; prefix = s->prefixes.parents[prefix])
        columns[count++] = s->prefixes.columns[prefix];
    return count;
}

enum { BLOCKS = 13 };

// What is allocated once, and stays.
static void blocks(const search *s, void *each[BLOCKS]) {
    void *every[BLOCKS] = {
        s->rows,    s->next,   s->columns, s->labels,     s->heard,       s->plain,      s->begins,
        s->follows, s->places, s->longer,  s->best.items, s->sober.items, s->rest.items,
    };
    memcpy(each, every, sizeof every);
}

void search_free(search *s) {
    void *each[BLOCKS];
    blocks(s, each);
    for (int place = 0; place < BLOCKS; place++) free(each[place]);
    tree_free(&s->prefixes);
    overs_free(&s->words);
    free(s);
}

static int is_whole(const search *s) {
    void *each[BLOCKS];
    blocks(s, each);
    for (int place = 0; place < BLOCKS; place++)
        if (!each[place]) return 0;
    return 1;
}

static void *room(int64_t count, size_t size) { return malloc((size_t)(count + 1) * size); }

// A search, or null without the memory.
search *search_new(const problem *given) {
    search *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->given = *given;
    int64_t width = given->width, most = 0, half = (width + 1) / 2;
    for (int64_t frame = 0; frame < given->frame_count; frame++)
        if (2 * given->counts[frame] > most) most = 2 * given->counts[frame];
    s->rows = room(width, sizeof *s->rows);
    s->next = room(width, sizeof *s->next);
    s->columns = room(most, sizeof *s->columns);
    s->labels = room(most, sizeof *s->labels);
    s->heard = room(most, sizeof *s->heard);
    s->plain = room(most, sizeof *s->plain);
    s->begins = calloc(given->words ? (size_t)given->words->symbols : 1, 1);
    s->follows = calloc(given->words ? (size_t)given->words->symbols : 1, 1);
    s->longer = room(width * most, sizeof *s->longer);
    s->places = room(2 * given->labels, sizeof *s->places);
    s->best = (heap){room(width, sizeof(offer)), 0, width};
    s->sober = (heap){room(half, sizeof(offer)), 0, given->hot ? half : 0};
    s->rest = (heap){room(width - half, sizeof(offer)), 0, width - half};
    if (!tree_make(&s->prefixes) || !is_whole(s)) {
        search_free(s);
        return NULL;
    }
    memset(s->places, 0xff, (size_t)(2 * given->labels) * sizeof *s->places);
    s->count = 1;
    s->rows[0] = (row){.label = -INFINITY, .last = -1, .column = -1, .over = UNASKED};
    s->rows[0].state = given->hot ? (int32_t)given->hot->first : 0;
    if (given->words) steps_from(given->words, s->rows);
    mark(s, s->begins, s->rows, 1);
    return s;
}
