/* 32 sessions on 8 threads over one model, freed under them, give the bits that a session alone gives:
 * threads WEIGHTS [FEWER THREADS] */
#define _POSIX_C_SOURCE 200809L
#include <googlenet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(call)                                                                                                    \
    do {                                                                                                               \
        googlenet_status status = (call);                                                                              \
        if (status) {                                                                                                  \
            fprintf(stderr, "%s: %s: %s\n", #call, googlenet_status_name(status), googlenet_last_error());             \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { MOST_THREADS = 8, SESSIONS = 4, INPUTS = 3, RUNS = 2, MOST_CLASSES = 16 };

static googlenet_session *sessions[MOST_THREADS][SESSIONS];
static float expected[INPUTS][MOST_CLASSES];
static size_t classes;

/* Lends no thread but the caller's own, which calls the parts in order. */
static void in_order(void *context, size_t count, googlenet_body body, void *argument) {
    (void)context;
    for (size_t i = 0; i < count; i++)
        body(argument, i);
}

static googlenet_session *make(const googlenet_model *model, unsigned threads, int lent) {
    googlenet_options options = {.struct_size = sizeof options, .threads = threads, .side = 32};
    options.parallel_for = lent ? in_order : NULL;
    googlenet_session *session = NULL;
    CHECK(googlenet_session_new(model, &options, &session));
    return session;
}

static const float *run(googlenet_session *session, int which) {
    float *input;
    size_t length;
    CHECK(googlenet_session_input(session, &input, &length));
    for (size_t i = 0; i < length; i++)
        input[i] = (float)((i * 31 + (size_t)which * 17) % 255) / 128 - 1;
    CHECK(googlenet_session_run(session));
    const float *logits;
    CHECK(googlenet_session_logits(session, &logits, &classes));
    return logits;
}

static void *work(void *argument) {
    googlenet_session **own = argument;
    for (int i = 0; i < RUNS * SESSIONS; i++) {
        int which = (i / SESSIONS + i) % INPUTS;
        const float *logits = run(own[i % SESSIONS], which);
        if (memcmp(logits, expected[which], classes * sizeof *logits) != 0) {
            fprintf(stderr, "session %d gives other bits for input %d\n", i % SESSIONS, which);
            exit(1);
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    const int threads = argc == 3 ? atoi(argv[2]) : MOST_THREADS;
    googlenet_model *model = NULL;
    CHECK(googlenet_model_map(argc > 1 ? argv[1] : NULL, &model));
    if (threads < 1 || threads > MOST_THREADS)
        return 2;
    googlenet_session *alone = make(model, 1, 0);
    for (int which = 0; which < INPUTS; which++) {
        const float *logits = run(alone, which);
        if (classes > MOST_CLASSES)
            return 1;
        memcpy(expected[which], logits, classes * sizeof *logits);
    }
    if (memcmp(expected[0], expected[1], classes * sizeof(float)) == 0)
        return 1; /* the inputs must differ for the rest to mean anything */
    for (int i = 0; i < threads * SESSIONS; i++)
        sessions[i / SESSIONS][i % SESSIONS] = make(model, i % 4 == 0 ? 2 : i % 4 == 1 ? 3 : 1, i % 4 == 1);
    CHECK(googlenet_model_free(&model));
    pthread_t ids[MOST_THREADS];
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, work, sessions[i]))
            return 1;
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    CHECK(googlenet_session_free(&alone));
    for (int i = 0; i < threads * SESSIONS; i++)
        CHECK(googlenet_session_free(&sessions[i / SESSIONS][i % SESSIONS]));
    printf("%d sessions on %d threads: ok\n", threads * SESSIONS, threads);
    return 0;
}
