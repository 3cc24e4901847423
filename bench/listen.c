/* The client in front of every proxy that is measured, on one epoll loop.

   listen PORT CONNECTIONS AT_ONCE HEADS        streams of server-sent events
   listen PORT CONNECTIONS AT_ONCE HEADS again  requests, each as soon as the last is done

   HEADS is a file of request heads, used in turn. AT_ONCE limits how many streams are
   opened at the same time. Prints one JSON line when all have begun (or failed), and one
   for each line on standard input, which is a number of milliseconds to count for. Ends
   when standard input does. Durations printed are microseconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer.h"
#include "histogram.h"

#define FIELDS 39 /* of `"n":` and 10 digits, `,"t":` and 20 */
#define ADDRESSES 8 /* 127.0.0.1 to .8: each has ephemeral ports of its own */
#define OPENING_LIMIT 120000000000ull

struct connection {
    int fd, begun, lost;
    struct answer answer;
    const char *head;
    uint64_t asked, number, events; /* events: in the window that is measured */
    int field; /* bytes of FIELDS seen, -1 outside */
    char fields[FIELDS + 1];
};

static struct connection *all;
static struct epoll_event leash = {.events = EPOLLIN};
static int loop, port, wanted, at_once, again;
static int started, begun, failed, lost, bad_status, reconnects;
static char **heads;
static int heads_size;
static uint64_t began, until, measured_since, units, gaps, read_at;
static struct histogram delays, first_bytes;
static char buffer[1 << 16];

static void read_heads(const char *name) {
    FILE *file = fopen(name, "r");
    if (!file)
        fail(name);
    char *text = calloc(1, 1 << 22), *end;
    size_t size = fread(text, 1, (1 << 22) - 1, file);
    fclose(file);
    for (char *at = text; at < text + size && (end = strstr(at, "\r\n\r\n")); at = end + 4) {
        heads = realloc(heads, sizeof *heads * (size_t)(heads_size + 1));
        heads[heads_size++] = strndup(at, (size_t)(end + 4 - at));
    }
    if (!heads_size) {
        fprintf(stderr, "%s holds no request\n", name);
        exit(1);
    }
}

static void lose(struct connection *c) {
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->lost = 1;
    if (c->begun)
        lost++;
    else
        failed++;
}

static void ask(struct connection *c) {
    expect_answer(&c->answer);
    c->asked = now_ns();
    size_t size = strlen(c->head);
    if (send(c->fd, c->head, size, MSG_NOSIGNAL) != (ssize_t)size)
        lose(c);
}

/* Connect, blocking: on loopback that is the kernel's work alone. */
static void open_connection(struct connection *c) {
    int on = 1, number = (int)(c - all);
    struct sockaddr_in from = {.sin_family = AF_INET}, to = from;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(number % ADDRESSES));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)port);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0)
        fail("socket");
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) ||
        connect(c->fd, (struct sockaddr *)&to, sizeof to)) {
        lose(c);
        return;
    }
    epoll_ctl(loop, EPOLL_CTL_ADD, c->fd, &event);
    c->head = heads[number % heads_size];
    c->field = -1;
    ask(c);
}

static void open_more(void) {
    while (started < wanted && started - begun - failed < at_once)
        open_connection(&all[started++]);
}

static void note(struct connection *c, uint64_t since) {
    units++;
    count(&delays, read_at - since);
    begun += !c->begun;
    c->begun = 1;
}

static void note_event(struct connection *c) {
    uint64_t number = strtoull(c->fields + 4, NULL, 10);
    gaps += number != c->number + 1;
    c->number = number;
    c->events++;
    note(c, strtoull(c->fields + 19, NULL, 10));
}

/* Find `{` and the two numbers behind it, wherever the pieces are cut. */
static void hear_events(void *whom, const char *bytes, size_t size) {
    struct connection *c = whom;
    const char *end = bytes + size;
    while (!again && bytes < end) {
        if (c->field < 0) {
            bytes = memchr(bytes, '{', (size_t)(end - bytes));
            if (!bytes++)
                return;
            c->field = 0;
        }
        size_t missing = (size_t)(FIELDS - c->field), there = (size_t)(end - bytes);
        size_t piece = there < missing ? there : missing;
        memcpy(c->fields + c->field, bytes, piece);
        c->field += (int)piece;
        bytes += piece;
        if (c->field == FIELDS) {
            c->field = -1;
            note_event(c);
        }
    }
}

static void hear(struct connection *c) {
    ssize_t got = recv(c->fd, buffer, sizeof buffer, 0);
    read_at = now_ns();
    if (got <= 0) {
        int between = again && c->begun && c->answer.part == HEAD && !c->answer.head;
        if (!between) {
            lose(c);
            return;
        }
        close(c->fd); /* a proxy may close between two answers */
        reconnects++;
        open_connection(c);
        return;
    }
    if (c->answer.part == HEAD && !c->answer.head)
        count(&first_bytes, read_at - c->asked);
    size_t used = take(&c->answer, buffer, (size_t)got, hear_events, c);
    int status = c->answer.status;
    if (status && status != 200)
        bad_status = status;
    if ((status && status != 200) || c->answer.part == WRONG || used < (size_t)got)
        lose(c);
    else if (c->answer.part == DONE && !again)
        lose(c); /* the origin never ends a stream */
    else if (c->answer.part == DONE) {
        note(c, c->asked);
        ask(c);
    }
}

static void print_state(const char *phase, uint64_t since) {
    int silent = 0;
    for (int i = 0; i < started; i++)
        silent += !all[i].lost && !all[i].events;
    printf("{\"phase\": \"%s\", \"seconds\": %.6f, \"begun\": %d, \"failed\": %d, "
           "\"lost\": %d, \"silent\": %d, \"gaps\": %llu, \"bad_status\": %d, "
           "\"reconnects\": %d, \"units\": %llu, \"p50\": %.1f, \"p99\": %.1f, "
           "\"largest\": %.1f, \"first_byte_p50\": %.1f, \"first_byte_p99\": %.1f}\n",
           phase, (double)(now_ns() - since) / 1e9, begun, failed, lost,
           again ? 0 : silent, (unsigned long long)gaps, bad_status, reconnects,
           (unsigned long long)units, (double)percentile(&delays, 0.5) / 1e3,
           (double)percentile(&delays, 0.99) / 1e3, (double)delays.largest / 1e3,
           (double)percentile(&first_bytes, 0.5) / 1e3,
           (double)percentile(&first_bytes, 0.99) / 1e3);
    fflush(stdout);
}

static void begin_to_measure(void) {
    char line[32];
    ssize_t got = read(0, line, sizeof line - 1);
    if (got <= 0)
        exit(0);
    line[got] = 0;
    for (int i = 0; i < started; i++)
        all[i].events = 0;
    units = 0;
    forget(&delays);
    measured_since = now_ns();
    until = measured_since + strtoull(line, NULL, 10) * 1000000u;
}

int main(int argc, char **argv) {
    struct epoll_event events[512];
    if (argc < 5) {
        fprintf(stderr, "usage: listen PORT CONNECTIONS AT_ONCE HEADS [again]\n");
        return 2;
    }
    port = atoi(argv[1]);
    wanted = atoi(argv[2]);
    at_once = atoi(argv[3]);
    again = argc > 5;
    read_heads(argv[4]);
    all = calloc((size_t)wanted, sizeof *all);
    loop = epoll_create1(0);
    epoll_ctl(loop, EPOLL_CTL_ADD, 0, &leash);
    began = now_ns();
    for (int told = 0;;) {
        open_more();
        if (!told && (begun + failed >= wanted || now_ns() - began > OPENING_LIMIT)) {
            told = 1;
            print_state("open", began);
        }
        if (until && now_ns() >= until) {
            until = 0;
            print_state("measured", measured_since);
        }
        int ready = epoll_wait(loop, events, 512, until || !told ? 20 : -1);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c)
                begin_to_measure();
            else if (!c->lost)
                hear(c);
        }
    }
}
