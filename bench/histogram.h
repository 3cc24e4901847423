/* Time: durations in nanoseconds, counted in buckets of 1.6 % width: percentiles for the
   price of one addition an event. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FINE_BITS 6
#define FINE (1 << FINE_BITS)
#define BUCKETS (64 * FINE)

struct histogram {
    uint64_t counts[BUCKETS];
    uint64_t total, largest;
};

static inline void fail(const char *what) {
    perror(what);
    exit(1);
}

static inline uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static inline void forget(struct histogram *h) { memset(h, 0, sizeof *h); }

static inline void count(struct histogram *h, uint64_t value) {
    unsigned bucket = (unsigned)value;
    if (value >= FINE) {
        unsigned power = 63u - (unsigned)__builtin_clzll(value);
        unsigned fine = (unsigned)(value >> (power - FINE_BITS)) & (FINE - 1);
        bucket = (power - FINE_BITS + 1) * FINE + fine;
    }
    h->counts[bucket]++;
    h->total++;
    if (value > h->largest)
        h->largest = value;
}

/* Return the lower end of the bucket that holds the share *of* (0 to 1) of all. */
static inline uint64_t percentile(const struct histogram *h, double of) {
    uint64_t wanted = (uint64_t)(of * (double)h->total), seen = 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        seen += h->counts[bucket];
        if (seen > wanted) {
            if (bucket < FINE)
                return bucket;
            unsigned power = bucket / FINE - 1 + FINE_BITS;
            return (uint64_t)(FINE + bucket % FINE) << (power - FINE_BITS);
        }
    }
    return h->largest;
}

#endif
