/* So many clients on one AF_UNIX socket, each asking again as soon as it has its answer.
 * load PATH CLIENTS SECONDS WARM REQUEST: prints answers a second, and the median and 99th percentile in microseconds.
 * The first WARM answers are not counted: what a client that stays costs once, when it is new, is not what it costs.
 * In C, so that the server is what is measured. An answer ends at its newline. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MOST 4000000

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int rising(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    int clients = atoi(argv[2]), poll = epoll_create1(0);
    double seconds = atof(argv[3]), *asked = calloc(clients, sizeof *asked);
    int *sockets = calloc(clients, sizeof *sockets);
    float *took = malloc(MOST * sizeof *took);
    size_t warm = strtoul(argv[4], NULL, 10), length = strlen(argv[5]) + 1, answers = 0;
    char *request = malloc(length + 1), buffer[65536];
    struct rlimit many = {4096, 4096};
    setrlimit(RLIMIT_NOFILE, &many);
    sprintf(request, "%s\n", argv[5]);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    for (int i = 0; i < clients; i++) {
        sockets[i] = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(sockets[i], (struct sockaddr *)&address, sizeof address)) return 3;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(poll, EPOLL_CTL_ADD, sockets[i], &event);
    }
    double began = now(), end = began + seconds, t = began;
    for (int i = 0; i < clients; i++) {
        asked[i] = now();
        if (write(sockets[i], request, length) != (ssize_t)length) return 4;
    }
    struct epoll_event ready[256];
    while (warm || t < end) {
        int count = epoll_wait(poll, ready, 256, 1000);
        for (int k = 0; k < count; k++) {
            int i = ready[k].data.u32;
            ssize_t got = read(sockets[i], buffer, sizeof buffer);
            if (got <= 0) return 5;
            if (buffer[got - 1] != '\n') continue;
            t = now();
            if (warm && !--warm) {
                began = t;
                end = t + seconds;
                answers = 0;
            }
            if (answers < MOST) took[answers] = (t - asked[i]) * 1e6;
            answers++;
            asked[i] = t;
            if (write(sockets[i], request, length) != (ssize_t)length) return 6;
        }
        t = now();
    }
    size_t kept = answers < MOST ? answers : MOST;
    qsort(took, kept, sizeof *took, rising);
    printf("%.1f %.1f %.1f\n", answers / (t - began), kept ? took[kept / 2] : 0, kept ? took[kept * 99 / 100] : 0);
    return 0;
}
