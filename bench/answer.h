/* One HTTP/1.1 answer, decoded as its bytes come: head, then Content-Length or chunks.
   Strict about framing, because a proxy that breaks it is what we want to find. */
#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX 8192

enum part { HEAD, LENGTH, SIZE, EXTENSION, CHUNK, CHUNK_END, TRAILER, DONE, WRONG };

struct answer {
    enum part part;
    int status;
    uint64_t left;  /* of the body, or of the chunk */
    int digits, empty_line;
    char *head;     /* only while the head is incomplete */
    int head_size;
};

typedef void (*sink)(void *whom, const char *bytes, size_t size);

static void expect_answer(struct answer *a) {
    free(a->head);
    memset(a, 0, sizeof *a);
}

static void read_head(struct answer *a) {
    a->part = WRONG;
    if (sscanf(a->head, "HTTP/1.1 %3d", &a->status) != 1)
        return;
    for (char *line = strstr(a->head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (!strncasecmp(line + 2, "content-length:", 15)) {
            a->left = strtoull(line + 17, NULL, 10);
            a->part = a->left ? LENGTH : DONE;
        } else if (!strncasecmp(line + 2, "transfer-encoding: chunked", 26)) {
            a->part = SIZE;
        }
    }
}

/* Take the head's bytes; return how many of *bytes* were its. */
static size_t take_head(struct answer *a, const char *bytes, size_t size) {
    if (!a->head)
        a->head = malloc(HEAD_MAX + 1);
    int before = a->head_size;
    size_t room = (size_t)(HEAD_MAX - before), taken = size < room ? size : room;
    memcpy(a->head + before, bytes, taken);
    a->head_size += (int)taken;
    a->head[a->head_size] = 0;
    char *end = strstr(a->head, "\r\n\r\n");
    if (!end) {
        if (a->head_size == HEAD_MAX)
            a->part = WRONG;
        return taken;
    }
    size_t whole = (size_t)(end + 4 - a->head);
    end[2] = 0;
    read_head(a);
    free(a->head);
    a->head = NULL;
    return whole - (size_t)before;
}

static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Take one byte of the framing between chunks. */
static void take_framing(struct answer *a, char c) {
    int digit;
    switch (a->part) {
    case SIZE:
        digit = digit_of(c);
        if (digit >= 0 && a->digits < 15) {
            a->left = a->left * 16 + (uint64_t)digit;
            a->digits++;
        } else if (a->digits && (c == '\r' || c == ';')) {
            a->part = EXTENSION;
        } else {
            a->part = WRONG;
        }
        break;
    case EXTENSION:
        if (c == '\n') {
            a->part = a->left ? CHUNK : TRAILER;
            a->empty_line = 1;
        }
        break;
    case CHUNK_END:
        if (c == '\n') {
            a->part = SIZE;
            a->left = 0;
            a->digits = 0;
        } else if (c != '\r') {
            a->part = WRONG;
        }
        break;
    case TRAILER:
        if (c == '\n') {
            if (a->empty_line)
                a->part = DONE;
            a->empty_line = 1;
        } else if (c != '\r') {
            a->empty_line = 0;
        }
        break;
    default:
        a->part = WRONG;
    }
}

/* Decode *bytes* and hand the body to *into*; return how many were used. */
static size_t take(struct answer *a, const char *bytes, size_t size, sink into,
                   void *whom) {
    size_t at = 0;
    while (at < size && a->part != DONE && a->part != WRONG) {
        if (a->part == HEAD) {
            at += take_head(a, bytes + at, size - at);
        } else if (a->part == LENGTH || a->part == CHUNK) {
            size_t piece = size - at < a->left ? size - at : (size_t)a->left;
            into(whom, bytes + at, piece);
            at += piece;
            a->left -= piece;
            if (!a->left)
                a->part = a->part == CHUNK ? CHUNK_END : DONE;
        } else {
            take_framing(a, bytes[at++]);
        }
    }
    return at;
}

#endif
