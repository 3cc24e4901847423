/* The server behind every proxy that is measured: small JSON answers and paced
   server-sent events, on one epoll loop.

   origin            listens on a free port of 127.0.0.1, prints it, ends with stdin
   GET …/stream…?every=MICROSECONDS   a stream; every=0: one event, then silence
   GET anything else                  a small JSON answer

   An event is one chunk, as uvicorn sends it, and holds its number and the time it was
   written (CLOCK_MONOTONIC, ns). A client that does not read is not waited for: its
   events fall out until it reads again. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "histogram.h"

#define TICK_NS 100000u /* 0.1 ms: 2.5 events at once at 25,000 a second */
#define SLOTS 65536u
#define INPUT 8192
#define EVENT 256

static const char JSON[] =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 200\r\n\r\n";
static const char STREAM[] =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    "cache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n";

struct client {
    int fd, held;        /* held: bytes of an incomplete request */
    uint64_t due, every; /* in ticks; every 0: not paced */
    uint64_t number;
    int streams, waiting; /* waiting: bytes of an event not yet written */
    char *input;
    char rest[sizeof STREAM + EVENT];
    struct client *next; /* in the slot of the wheel */
};

static struct client *wheel[SLOTS], listener, timer, leash;
static uint64_t began, last_tick, streams_so_far, paced;
static int loop;
static char padding[200];

static void watch(struct client *c, uint32_t events, int how) {
    struct epoll_event event = {.events = events | EPOLLRDHUP, .data.ptr = c};
    if (epoll_ctl(loop, how, c->fd, &event))
        fail("epoll_ctl");
}

static void tick_while_needed(void) {
    struct itimerspec every = {0};
    if (paced)
        every.it_value.tv_nsec = every.it_interval.tv_nsec = TICK_NS;
    timerfd_settime(timer.fd, 0, &every, NULL);
}

static void put_on_wheel(struct client *c) {
    struct client **slot = &wheel[c->due % SLOTS];
    c->next = *slot;
    *slot = c;
}

static void leave(struct client *c) {
    close(c->fd);
    c->fd = -1;
    free(c->input);
    c->input = NULL;
    if (!c->every)
        free(c); /* the others are freed when the wheel comes round to them */
}

static void put(struct client *c, const char *bytes, size_t size) {
    ssize_t sent = send(c->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        sent = 0; /* a broken connection is also reported as readable */
    if ((size_t)sent < size) {
        c->waiting = (int)(size - (size_t)sent);
        memcpy(c->rest, bytes + sent, (size_t)c->waiting);
        watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    }
}

static int event_into(char *to, struct client *c) {
    char data[EVENT];
    int size = snprintf(data, sizeof data,
                        "event: messages\r\ndata: {\"n\":%10llu,\"t\":%20llu,"
                        "\"content\":\"%.128s\"}\r\n\r\n",
                        (unsigned long long)++c->number,
                        (unsigned long long)now_ns(), padding);
    return sprintf(to, "%x\r\n%s\r\n", (unsigned)size, data);
}

static void send_event(struct client *c) {
    if (c->waiting)
        return;
    char event[EVENT + 16];
    put(c, event, (size_t)event_into(event, c));
}

static void begin_stream(struct client *c, const char *head) {
    char first[sizeof STREAM + EVENT + 16];
    const char *given = strstr(head, "every=");
    memcpy(first, STREAM, sizeof STREAM - 1);
    int size = event_into(first + sizeof STREAM - 1, c);
    c->streams = 1;
    put(c, first, sizeof STREAM - 1 + (size_t)size);
    c->every = (given ? strtoull(given + 6, NULL, 10) : 0) * 1000 / TICK_NS;
    if (!c->every)
        return;
    /* Multiples of the golden ratio spread any number of streams evenly. */
    double share = (double)++streams_so_far * 0.6180339887498949;
    share -= (double)(uint64_t)share;
    c->due = last_tick + 1 + (uint64_t)(share * (double)c->every);
    put_on_wheel(c);
    if (!paced++)
        tick_while_needed();
}

static void answer(struct client *c, const char *head) {
    const char *line_end = strstr(head, "\r\n"), *stream = strstr(head, "/stream");
    if (stream && stream < line_end) {
        begin_stream(c, head);
        return;
    }
    char whole[sizeof JSON + 200];
    int size = sprintf(whole, "%s{\"data\":\"%.189s\"}", JSON, padding);
    put(c, whole, (size_t)size);
}

static void hear(struct client *c) {
    if (!c->input)
        c->input = malloc(INPUT + 1);
    ssize_t got = recv(c->fd, c->input + c->held, (size_t)(INPUT - c->held), 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        leave(c);
        return;
    }
    c->held += (int)got;
    c->input[c->held] = 0;
    char *end;
    while (!c->streams && (end = strstr(c->input, "\r\n\r\n"))) {
        end[2] = 0;
        answer(c, c->input);
        c->held -= (int)(end + 4 - c->input);
        memmove(c->input, end + 4, (size_t)c->held + 1);
    }
    if (!c->held || c->streams) { /* ten thousand silent streams need no buffers */
        free(c->input);
        c->input = NULL;
        c->held = 0;
    } else if (c->held == INPUT) {
        leave(c);
    }
}

static void write_on(struct client *c) {
    int size = c->waiting;
    char rest[sizeof c->rest];
    memcpy(rest, c->rest, (size_t)size);
    c->waiting = 0;
    watch(c, EPOLLIN, EPOLL_CTL_MOD);
    put(c, rest, (size_t)size);
}

static void let_in(void) {
    int fd, on = 1;
    while ((fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct client *c = calloc(1, sizeof *c);
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(c, EPOLLIN, EPOLL_CTL_ADD);
    }
}

static void turn_wheel(void) {
    uint64_t expired, tick = (now_ns() - began) / TICK_NS;
    if (read(timer.fd, &expired, sizeof expired) < 0 && errno != EAGAIN)
        fail("timer");
    while (last_tick < tick) {
        last_tick++;
        struct client *c = wheel[last_tick % SLOTS], *next;
        wheel[last_tick % SLOTS] = NULL;
        for (; c; c = next) {
            next = c->next;
            if (c->fd < 0) {
                free(c);
                if (!--paced)
                    tick_while_needed();
                continue;
            }
            if (c->due <= last_tick) {
                send_event(c);
                c->due += c->every;
            }
            put_on_wheel(c);
        }
    }
}

int main(void) {
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    struct epoll_event events[256];
    memset(padding, 'x', sizeof padding - 1);
    signal(SIGPIPE, SIG_IGN);
    began = now_ns();
    loop = epoll_create1(0);
    listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener.fd, (struct sockaddr *)&at, size) || listen(listener.fd, 4096) ||
        getsockname(listener.fd, (struct sockaddr *)&at, &size))
        fail("listen");
    timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    leash.fd = 0;
    watch(&listener, EPOLLIN, EPOLL_CTL_ADD);
    watch(&timer, EPOLLIN, EPOLL_CTL_ADD);
    watch(&leash, EPOLLIN, EPOLL_CTL_ADD);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(loop, events, 256, -1);
        if (!paced)
            last_tick = (now_ns() - began) / TICK_NS;
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            if (c == &leash)
                return 0;
            if (c == &listener)
                let_in();
            else if (c == &timer)
                turn_wheel();
            else if (events[i].events & ~(uint32_t)EPOLLOUT)
                hear(c); /* first: on a broken connection writing never ends */
            else
                write_on(c);
        }
    }
}
