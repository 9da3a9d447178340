/* Everything that can be got wrong, and what it answers: a status, and a text that names the argument. */
#define _POSIX_C_SOURCE 200809L
#include <fenv.h>
#include <googlenet.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

static int checks, failures;

static void expect(googlenet_status wanted, const char *word, googlenet_status status, const char *call, int line) {
    const char *text = status ? googlenet_last_error() : "";
    checks++;
    if (status == wanted && strstr(text, word))
        return;
    failures++;
    fprintf(stderr, "line %d: %s: %s \"%s\", expected %s and \"%s\"\n", line, call, googlenet_status_name(status), text,
            googlenet_status_name(wanted), word);
}

/* `call` answers `status`, with a text that contains `word`. */
#define EXPECT(status, word, call) expect(status, word, call, #call, __LINE__)
#define OK(call) EXPECT(GOOGLENET_OK, "", call)
#define TRUE(what) expect(GOOGLENET_OK, "", (what) ? GOOGLENET_OK : GOOGLENET_ERR_INTERNAL, #what, __LINE__)

#define NULLED GOOGLENET_ERR_NULL
#define SIZED GOOGLENET_ERR_STRUCT_SIZE
#define LENGTH GOOGLENET_ERR_LENGTH
#define ARGUMENT GOOGLENET_ERR_ARGUMENT

static googlenet_model *model;
static unsigned char pixels[40 * 30 * 3];

static googlenet_image picture(void) {
    googlenet_image image = {sizeof image, pixels, sizeof pixels, 40, 30, 120};
    return image;
}

static void models(const char *path) {
    googlenet_model *other = NULL, *const untouched = NULL;
    char *bytes = NULL;
    size_t length = 0;
    FILE *file = fopen(path, "rb");
    if (file && !fseek(file, 0, SEEK_END)) {
        length = (size_t)ftell(file);
        rewind(file);
        bytes = aligned_alloc(64, (length + 64) / 64 * 64);
    }
    if (!bytes || fread(bytes, 1, length, file) != length)
        exit(2);
    fclose(file);

    EXPECT(NULLED, "path is null", googlenet_model_open(NULL, &other));
    EXPECT(NULLED, "model is null", googlenet_model_open(path, NULL));
    EXPECT(GOOGLENET_ERR_IO, "no such file.w", googlenet_model_open("no such file.w", &other));
    EXPECT(GOOGLENET_ERR_IO, "cannot", googlenet_model_open("\xff\xfe", &other));
    EXPECT(NULLED, "path is null", googlenet_model_map(NULL, &other));
    EXPECT(NULLED, "model is null", googlenet_model_map(path, NULL));
    EXPECT(GOOGLENET_ERR_IO, "no such file.w", googlenet_model_map("no such file.w", &other));
    EXPECT(NULLED, "data is null", googlenet_model_copy(NULL, length, &other));
    EXPECT(NULLED, "model is null", googlenet_model_copy(bytes, length, NULL));
    EXPECT(LENGTH, "data", googlenet_model_copy(bytes, SIZE_MAX, &other));
    EXPECT(GOOGLENET_ERR_MODEL, "cut off", googlenet_model_copy(bytes, 0, &other));
    EXPECT(GOOGLENET_ERR_MODEL, "", googlenet_model_copy(bytes, length - 1, &other));
    EXPECT(GOOGLENET_ERR_MODEL, "", googlenet_model_copy(bytes, length + 1, &other));
    EXPECT(NULLED, "data is null", googlenet_model_borrow(NULL, length, &other));
    EXPECT(NULLED, "model is null", googlenet_model_borrow(bytes, length, NULL));
    EXPECT(GOOGLENET_ERR_MODEL, "", googlenet_model_borrow(bytes, length - 1, &other));
    EXPECT(GOOGLENET_ERR_MODEL, "", googlenet_model_borrow(bytes, length + 1, &other));
    EXPECT(LENGTH, "data", googlenet_model_borrow(bytes, SIZE_MAX, &other));
    TRUE(other == untouched);

    OK(googlenet_model_copy(bytes, length, &other));
    OK(googlenet_model_free(&other));
    TRUE(other == NULL);
    OK(googlenet_model_free(&other)); /* twice through one variable */
    OK(googlenet_model_free(NULL));
    OK(googlenet_model_borrow(bytes, length, &other));
    OK(googlenet_model_free(&other));

    googlenet_model_info info = GOOGLENET_MODEL_INFO_INIT;
    const char *label = NULL;
    EXPECT(NULLED, "model is null", googlenet_model_describe(NULL, &info));
    EXPECT(NULLED, "info is null", googlenet_model_describe(model, NULL));
    for (int off = -1; off <= 1; off += 2) {
        info.struct_size = sizeof info + (size_t)off;
        EXPECT(SIZED, "info->struct_size", googlenet_model_describe(model, &info));
    }
    info.struct_size = sizeof info;
    OK(googlenet_model_describe(model, &info));
    TRUE(info.classes == 10 && info.labels == 10 && info.side == 64);
    EXPECT(NULLED, "model is null", googlenet_model_verify(NULL));
    OK(googlenet_model_verify(model));
    EXPECT(NULLED, "model is null", googlenet_model_label(NULL, 0, &label));
    EXPECT(NULLED, "label is null", googlenet_model_label(model, 0, NULL));
    EXPECT(ARGUMENT, "class_index 10", googlenet_model_label(model, info.classes, &label));
    EXPECT(ARGUMENT, "class_index", googlenet_model_label(model, SIZE_MAX, &label));
    OK(googlenet_model_label(model, 3, &label));
    TRUE(label && !strcmp(label, "cat"));
    free(bytes);
}

static void one_option(googlenet_status status, const char *word, googlenet_options options) {
    googlenet_session *session = NULL;
    EXPECT(status, word, googlenet_session_new(model, &options, &session));
    TRUE((session != NULL) == (status == GOOGLENET_OK));
    googlenet_session_free(&session);
}

static void options(void) {
    googlenet_session *session = NULL;
    googlenet_options plain = GOOGLENET_OPTIONS_INIT, o;
    EXPECT(NULLED, "model is null", googlenet_session_new(NULL, &plain, &session));
    EXPECT(NULLED, "session is null", googlenet_session_new(model, &plain, NULL));
    OK(googlenet_session_new(model, NULL, &session));
    OK(googlenet_session_free(&session));
    OK(googlenet_session_free(&session)); /* twice through one variable */
    OK(googlenet_session_free(NULL));
    one_option(GOOGLENET_OK, "", plain);

#define WITH(status, word, ...)                                                                                        \
    do {                                                                                                               \
        o = plain;                                                                                                     \
        __VA_ARGS__;                                                                                                   \
        one_option(status, word, o);                                                                                   \
    } while (0)
    WITH(SIZED, "options->struct_size", o.struct_size = 0);
    WITH(SIZED, "options->struct_size", o.struct_size--);
    WITH(SIZED, "options->struct_size", o.struct_size++);
    WITH(GOOGLENET_OK, "", o.threads = 2);
    WITH(ARGUMENT, "threads 257", o.threads = 257);
    WITH(ARGUMENT, "threads", o.threads = UINT32_MAX);
    WITH(ARGUMENT, "batch 4097", o.batch = 4097);
    WITH(ARGUMENT, "batch 4096 of 4096x4096", (o.batch = 4096, o.side = 4096));
    WITH(ARGUMENT, "input side 31", o.side = 31);
    WITH(ARGUMENT, "input side 4097", o.side = 4097);
    WITH(GOOGLENET_OK, "", o.isa = GOOGLENET_ISA_PORTABLE);
    WITH(GOOGLENET_ERR_ISA, "options->isa is 7", o.isa = GOOGLENET_ISA_RELAXED_SIMD + 1);
    WITH(GOOGLENET_ERR_ISA, "options->isa", o.isa = UINT32_MAX);
#ifdef __x86_64__
    WITH(GOOGLENET_ERR_ISA, "neon", o.isa = GOOGLENET_ISA_NEON);
#endif
    WITH(ARGUMENT, "options->class_maps is 2", o.class_maps = 2);
    WITH(GOOGLENET_OK, "", o.precision = GOOGLENET_PRECISION_BF16);
    WITH(GOOGLENET_OK, "", o.precision = GOOGLENET_PRECISION_INT8);
    WITH(ARGUMENT, "options->precision is 3", o.precision = GOOGLENET_PRECISION_INT8 + 1);
    WITH(ARGUMENT, "options->precision", o.precision = UINT32_MAX);
    const char *names[] = {"pool5", NULL, "inception_9z", "\xff", "data", "pool1"};
    WITH(NULLED, "options->endpoints is null", o.endpoint_count = 1);
    WITH(LENGTH, "options->endpoints", (o.endpoints = names, o.endpoint_count = SIZE_MAX));
    WITH(NULLED, "options->endpoints[1] is null", (o.endpoints = names, o.endpoint_count = 2));
    WITH(GOOGLENET_ERR_LAYER, "inception_9z", (o.endpoints = names + 2, o.endpoint_count = 1));
    WITH(ARGUMENT, "options->endpoints[0] is not UTF-8", (o.endpoints = names + 3, o.endpoint_count = 1));
    WITH(GOOGLENET_ERR_LAYER, "data", (o.endpoints = names + 4, o.endpoint_count = 1));
    WITH(GOOGLENET_ERR_LAYER, "pool1", (o.endpoints = names + 5, o.endpoint_count = 1));
}

static void images(googlenet_session *session) {
    googlenet_image image = picture();
    googlenet_prediction best[11];
    EXPECT(NULLED, "session is null", googlenet_session_classify(NULL, &image, best, 1));
    EXPECT(NULLED, "image is null", googlenet_session_classify(session, NULL, best, 1));
    EXPECT(NULLED, "predictions is null", googlenet_session_classify(session, &image, NULL, 1));
    EXPECT(LENGTH, "count is 11", googlenet_session_classify(session, &image, best, 11));
    EXPECT(NULLED, "session is null", googlenet_session_set_image(NULL, 0, &image));
    EXPECT(NULLED, "image is null", googlenet_session_set_image(session, 0, NULL));
    EXPECT(ARGUMENT, "batch_index 2", googlenet_session_set_image(session, 2, &image));
#define IMAGE(status, word, change)                                                                                    \
    do {                                                                                                               \
        image = picture();                                                                                             \
        change;                                                                                                        \
        EXPECT(status, word, googlenet_session_set_image(session, 1, &image));                                         \
        EXPECT(status, word, googlenet_session_classify(session, &image, best, 1));                                    \
    } while (0)
    IMAGE(SIZED, "image->struct_size", image.struct_size--);
    IMAGE(SIZED, "image->struct_size", image.struct_size++);
    IMAGE(NULLED, "image->data is null", image.data = NULL);
    IMAGE(LENGTH, "image", image.length--);
    IMAGE(LENGTH, "image->data", image.length = SIZE_MAX);
    IMAGE(ARGUMENT, "image: picture of 0x30", image.width = 0);
    IMAGE(ARGUMENT, "image: picture of 40x0", image.height = 0);
    IMAGE(LENGTH, "image", image.height++);
    IMAGE(LENGTH, "image", image.height = SIZE_MAX);
    IMAGE(ARGUMENT, "image: row of 41", image.width++);
    IMAGE(ARGUMENT, "image: row", image.width = SIZE_MAX);
    IMAGE(ARGUMENT, "stride", image.stride--);
    IMAGE(LENGTH, "image", image.stride++);
    IMAGE(LENGTH, "image", image.stride = SIZE_MAX);
    IMAGE(GOOGLENET_OK, "", image.length++);
    OK(googlenet_session_classify(session, &image, best, 10));
    double sum = 0;
    for (int i = 0; i < 10; i++) {
        sum += best[i].probability;
        TRUE(best[i].label && best[i].label[0] && (i == 0 || best[i].probability <= best[i - 1].probability));
    }
    TRUE(sum > 0.999 && sum < 1.001);
}

/* The same picture in every order of bytes is the same input, and what does not fit its rows is refused. */
static void orders(googlenet_session *session) {
    static unsigned char bytes[30 * 170];
    static const int lengths[] = {3, 3, 4, 4, 1}, at[][3] = {{0, 1, 2}, {2, 1, 0}, {0, 1, 2}, {2, 1, 0}, {0, 0, 0}};
    static float inputs[5][3 * 64 * 64];
    float *input = NULL;
    googlenet_image image = picture();
    for (unsigned order = 0; order < 5; order++) {
        for (size_t i = 0; i < 30 * 40; i++)
            for (int colour = 0; colour < 3; colour++)
                bytes[i / 40 * 170 + i % 40 * (size_t)lengths[order] + (size_t)at[order][colour]] =
                    (unsigned char)(order == 4 ? i : i * (size_t)(colour + 1));
        image = (googlenet_image){sizeof image, bytes, sizeof bytes, 40, 30, 170};
        OK(googlenet_session_set_pixels(session, 1, &image, order));
        OK(googlenet_session_input(session, &input, NULL));
        memcpy(inputs[order], input + 3 * 64 * 64, sizeof inputs[order]);
        image.length = 29 * 170 + 40 * (size_t)lengths[order];
        OK(googlenet_session_set_pixels(session, 1, &image, order));
        image.length--;
        EXPECT(LENGTH, "image", googlenet_session_set_pixels(session, 1, &image, order));
        image.length = sizeof bytes;
        image.stride = 40 * (size_t)lengths[order] - 1;
        EXPECT(ARGUMENT, "stride", googlenet_session_set_pixels(session, 1, &image, order));
        image.stride = 170;
        image.width = SIZE_MAX;
        EXPECT(ARGUMENT, "image", googlenet_session_set_pixels(session, 1, &image, order));
        image.width = 0;
        EXPECT(ARGUMENT, "image", googlenet_session_set_pixels(session, 1, &image, order));
        image.width = 40;
        image.height = 0;
        EXPECT(ARGUMENT, "image", googlenet_session_set_pixels(session, 1, &image, order));
        image.height = SIZE_MAX;
        EXPECT(LENGTH, "image", googlenet_session_set_pixels(session, 1, &image, order));
    }
    for (unsigned order = 1; order < 4; order++)
        TRUE(!memcmp(inputs[order], inputs[0], sizeof inputs[0]));
    /* The channels of grey are alike, but for their means. */
    TRUE(memcmp(inputs[4], inputs[0], sizeof inputs[0]));
    image = picture();
    EXPECT(NULLED, "session is null", googlenet_session_set_pixels(NULL, 0, &image, 0));
    EXPECT(NULLED, "image is null", googlenet_session_set_pixels(session, 0, NULL, 1));
    EXPECT(ARGUMENT, "batch_index 2", googlenet_session_set_pixels(session, 2, &image, 1));
    EXPECT(ARGUMENT, "pixels is 5", googlenet_session_set_pixels(session, 0, &image, 5));
    image.struct_size++;
    EXPECT(SIZED, "image->struct_size", googlenet_session_set_pixels(session, 0, &image, 1));
}

/* What is likeliest of each image of a batch, and what weights or inputs that are no numbers answer. */
static void batches(googlenet_session *session) {
    googlenet_image image = picture();
    googlenet_prediction first[10], second[10], best[11];
    float *input = NULL;
    unsigned char *middle = pixels + (15 * 40 + 20) * 3; /* a corner would be cropped */
    OK(googlenet_session_set_image(session, 0, &image));
    *middle ^= 255;
    OK(googlenet_session_set_image(session, 1, &image));
    *middle ^= 255;
    OK(googlenet_session_run(session));
    OK(googlenet_session_predictions(session, 0, first, 10));
    OK(googlenet_session_predictions(session, 1, second, 10));
    OK(googlenet_session_classify(session, &image, best, 10));
    int differ = 0;
    for (int i = 0; i < 10; i++) {
        TRUE(first[i].class_index == best[i].class_index && first[i].probability == best[i].probability);
        TRUE(!strcmp(first[i].label, best[i].label));
        differ |= first[i].probability != second[i].probability;
    }
    TRUE(differ);
    EXPECT(NULLED, "session is null", googlenet_session_predictions(NULL, 0, best, 1));
    EXPECT(NULLED, "predictions is null", googlenet_session_predictions(session, 0, NULL, 1));
    EXPECT(ARGUMENT, "batch_index 2", googlenet_session_predictions(session, 2, best, 1));
    EXPECT(LENGTH, "count is 11", googlenet_session_predictions(session, 0, best, 11));
    OK(googlenet_session_input(session, &input, NULL));
    input[3 * 64 * 64] = NAN;
    OK(googlenet_session_run(session));
    OK(googlenet_session_predictions(session, 0, best, 1));
    EXPECT(GOOGLENET_ERR_MODEL, "NaN or infinite", googlenet_session_predictions(session, 1, best, 1));
    OK(googlenet_session_set_image(session, 1, &image));
}

static void tensors(googlenet_session *session) {
    float *input = NULL;
    const float *values = NULL;
    size_t length = 0, shape[3] = {0};
    EXPECT(NULLED, "session is null", googlenet_session_input(NULL, &input, &length));
    EXPECT(NULLED, "values is null", googlenet_session_input(session, NULL, &length));
    OK(googlenet_session_input(session, &input, NULL));
    OK(googlenet_session_input(session, &input, &length));
    TRUE(length == 2 * 3 * 64 * 64);
    float *own = calloc(length + 1, sizeof *own);
    EXPECT(NULLED, "session is null", googlenet_session_set_input(NULL, own, length));
    EXPECT(NULLED, "values is null", googlenet_session_set_input(session, NULL, length));
    EXPECT(LENGTH, "length is 24575", googlenet_session_set_input(session, own, length - 1));
    EXPECT(LENGTH, "length is 24577", googlenet_session_set_input(session, own, length + 1));
    EXPECT(LENGTH, "values", googlenet_session_set_input(session, own, SIZE_MAX));
    EXPECT(ARGUMENT, "values does not begin", googlenet_session_set_input(session, (float *)((char *)own + 1), length));
    OK(googlenet_session_set_input(session, own, length));
    free(own);
    EXPECT(NULLED, "session is null", googlenet_session_run(NULL));
    OK(googlenet_session_run(session));
    EXPECT(NULLED, "session is null", googlenet_session_logits(NULL, &values, &length));
    EXPECT(NULLED, "values is null", googlenet_session_logits(session, NULL, &length));
    EXPECT(NULLED, "session is null", googlenet_session_probabilities(NULL, &values, &length));
    EXPECT(NULLED, "values is null", googlenet_session_probabilities(session, NULL, &length));
    OK(googlenet_session_logits(session, &values, NULL));
    OK(googlenet_session_probabilities(session, &values, &length));
    TRUE(length == 20);
    EXPECT(NULLED, "session is null", googlenet_session_endpoint(NULL, "pool5", &values, &length, shape));
    EXPECT(NULLED, "layer is null", googlenet_session_endpoint(session, NULL, &values, &length, shape));
    EXPECT(NULLED, "values is null", googlenet_session_endpoint(session, "pool5", NULL, &length, shape));
    EXPECT(ARGUMENT, "layer is not UTF-8", googlenet_session_endpoint(session, "\xff", &values, &length, shape));
    EXPECT(GOOGLENET_ERR_LAYER, "layer \"conv1\"", googlenet_session_endpoint(session, "conv1", &values, NULL, NULL));
    OK(googlenet_session_endpoint(session, "pool5", &values, NULL, NULL));
    OK(googlenet_session_endpoint(session, "pool5", &values, &length, shape));
    TRUE(length == 2048 && shape[0] == 1024 && shape[1] == 1 && shape[2] == 1);

    float map[5], bias;
    EXPECT(NULLED, "session is null", googlenet_session_class_map(NULL, 0, 0, map, 4, &bias));
    EXPECT(NULLED, "values is null", googlenet_session_class_map(session, 0, 0, NULL, 4, &bias));
    EXPECT(LENGTH, "length", googlenet_session_class_map(session, 0, 0, map, 3, &bias));
    EXPECT(LENGTH, "length", googlenet_session_class_map(session, 0, 0, map, 5, &bias));
    EXPECT(ARGUMENT, "batch_index 2", googlenet_session_class_map(session, 2, 0, map, 4, &bias));
    EXPECT(ARGUMENT, "class_index", googlenet_session_class_map(session, 0, 10, map, 4, &bias));
    OK(googlenet_session_class_map(session, 1, 9, map, 4, NULL));

    char trace[] = "trace.XXXXXX";
    const int file = mkstemp(trace);
    TRUE(file >= 0);
    EXPECT(NULLED, "session is null", googlenet_session_record(NULL, 1));
    EXPECT(GOOGLENET_ERR_MEMORY, "runs", googlenet_session_record(session, SIZE_MAX));
    OK(googlenet_session_record(session, 1));
    OK(googlenet_session_run(session));
    EXPECT(NULLED, "session is null", googlenet_session_write_trace(NULL, trace));
    EXPECT(NULLED, "path is null", googlenet_session_write_trace(session, NULL));
    EXPECT(GOOGLENET_ERR_IO, "none/trace.json", googlenet_session_write_trace(session, "none/trace.json"));
    OK(googlenet_session_write_trace(session, trace));
    char begin[17] = {0};
    FILE *written = fopen(trace, "rb");
    TRUE(written && fread(begin, 1, 16, written) == 16 && strcmp(begin, "{\"traceEvents\":[") == 0);
    TRUE(written && fclose(written) == 0);
    TRUE(close(file) == 0 && remove(trace) == 0);
    OK(googlenet_session_record(session, 0));

    googlenet_session_info info = GOOGLENET_SESSION_INFO_INIT;
    EXPECT(NULLED, "session is null", googlenet_session_describe(NULL, &info));
    EXPECT(NULLED, "info is null", googlenet_session_describe(session, NULL));
    for (int off = -1; off <= 1; off += 2) {
        info.struct_size = sizeof info + (size_t)off;
        EXPECT(SIZED, "info->struct_size", googlenet_session_describe(session, &info));
    }
    info.struct_size = sizeof info;
    OK(googlenet_session_describe(session, &info));
    TRUE(info.side == 64 && info.batch == 2 && info.threads == 1 && info.classes == 10 && info.map_height == 2 &&
         info.map_width == 2 && info.memory_bytes > 0 && info.isa > GOOGLENET_ISA_BEST);
}

static googlenet_ensemble *together;

static void lend_together(void *context, size_t count, googlenet_body body, void *argument) {
    googlenet_ensemble *same = together;
    if (same && !*(int *)context) {
        *(int *)context = 1;
        EXPECT(GOOGLENET_ERR_BUSY, "ensemble is in use", googlenet_ensemble_free(&same));
        TRUE(same == together);
    }
    for (size_t i = 0; i < count; i++)
        body(argument, i);
}

static void ensembles(googlenet_session *session) {
    int asked = 0;
    googlenet_options plain = GOOGLENET_OPTIONS_INIT, lent = GOOGLENET_OPTIONS_INIT;
    const googlenet_model *models[65] = {model, model, NULL};
    googlenet_ensemble *one = NULL, *ten = NULL, *const untouched = NULL;
    googlenet_image image = picture();
    googlenet_prediction alone[10], best[11];
    lent.threads = 2;
    lent.parallel_for = lend_together;
    lent.parallel_for_context = &asked;
    EXPECT(NULLED, "models is null", googlenet_ensemble_new(NULL, 1, 1, NULL, &one));
    EXPECT(NULLED, "models[2] is null", googlenet_ensemble_new(models, 3, 1, NULL, &one));
    EXPECT(ARGUMENT, "number of models", googlenet_ensemble_new(models, 0, 1, NULL, &one));
    EXPECT(ARGUMENT, "crops is 2", googlenet_ensemble_new(models, 1, 2, NULL, &one));
    EXPECT(NULLED, "ensemble is null", googlenet_ensemble_new(models, 1, 1, NULL, NULL));
    plain.struct_size++;
    EXPECT(SIZED, "options->struct_size", googlenet_ensemble_new(models, 1, 1, &plain, &one));
    plain.struct_size--;
    for (int i = 0; i < 65; i++)
        models[i] = model;
    EXPECT(ARGUMENT, "number of models", googlenet_ensemble_new(models, 65, 1, NULL, &one));
    TRUE(one == untouched);
    plain.threads = 2;
    OK(googlenet_ensemble_new(models, 2, 1, &plain, &one));
    OK(googlenet_ensemble_new(models, 1, 10, &lent, &ten));
    /* Two of the same model say what one says. */
    OK(googlenet_session_classify(session, &image, alone, 10));
    OK(googlenet_ensemble_classify(one, &image, GOOGLENET_PIXELS_RGB, best, 10));
    for (int i = 0; i < 10; i++) {
        TRUE(best[i].class_index == alone[i].class_index && !strcmp(best[i].label, alone[i].label));
        TRUE(best[i].probability > alone[i].probability - 1e-6F && best[i].probability < alone[i].probability + 1e-6F);
    }
    together = ten;
    OK(googlenet_ensemble_classify(ten, &image, GOOGLENET_PIXELS_BGR, best, 10));
    TRUE(asked);
    together = NULL;
    EXPECT(NULLED, "ensemble is null", googlenet_ensemble_classify(NULL, &image, 0, best, 1));
    EXPECT(NULLED, "image is null", googlenet_ensemble_classify(one, NULL, 0, best, 1));
    EXPECT(ARGUMENT, "pixels is 5", googlenet_ensemble_classify(one, &image, 5, best, 1));
    EXPECT(NULLED, "predictions is null", googlenet_ensemble_classify(one, &image, 0, NULL, 1));
    EXPECT(LENGTH, "count is 11", googlenet_ensemble_classify(one, &image, 0, best, 11));
    image.length = 1;
    EXPECT(LENGTH, "image", googlenet_ensemble_classify(one, &image, 0, best, 1));
    OK(googlenet_ensemble_free(&one));
    OK(googlenet_ensemble_free(&one)); /* null now */
    OK(googlenet_ensemble_free(NULL));
    OK(googlenet_ensemble_free(&ten));
}

/* A session that is inside a run, seen from the functions that the run calls, on a thread of its own. */
static googlenet_session *running;

static void *intrude(void *unused) {
    googlenet_image image = picture();
    googlenet_session_info info = GOOGLENET_SESSION_INFO_INIT;
    googlenet_session *same = running;
    float *input, map[4];
    const float *values;
    googlenet_prediction best;
    const googlenet_status busy = GOOGLENET_ERR_BUSY;
    (void)unused;
    TRUE(googlenet_last_error()[0] == 0); /* each thread has its own text */
    EXPECT(busy, "session is in use", googlenet_session_run(running));
    EXPECT(busy, "session is in use", googlenet_session_classify(running, &image, &best, 1));
    EXPECT(busy, "session is in use", googlenet_session_set_image(running, 0, &image));
    EXPECT(busy, "session is in use", googlenet_session_input(running, &input, NULL));
    EXPECT(busy, "session is in use", googlenet_session_set_input(running, map, 4));
    EXPECT(busy, "session is in use", googlenet_session_logits(running, &values, NULL));
    EXPECT(busy, "session is in use", googlenet_session_probabilities(running, &values, NULL));
    EXPECT(busy, "session is in use", googlenet_session_endpoint(running, "prob", &values, NULL, NULL));
    EXPECT(busy, "session is in use", googlenet_session_class_map(running, 0, 0, map, 4, NULL));
    EXPECT(busy, "session is in use", googlenet_session_describe(running, &info));
    EXPECT(busy, "session is in use", googlenet_session_record(running, 1));
    EXPECT(busy, "session is in use", googlenet_session_write_trace(running, "trace.json"));
    EXPECT(busy, "session is in use", googlenet_session_free(&same));
    TRUE(same == running);
    return NULL;
}

static void lend(void *context, size_t count, googlenet_body body, void *argument) {
    if (running) {
        pthread_t thread;
        if (!pthread_create(&thread, NULL, intrude, NULL))
            pthread_join(thread, NULL);
        ++*(int *)context;
    }
    for (size_t i = count; i > 0; i--) /* backwards, and one call more than asked for */
        body(argument, i);
    body(argument, 0);
}

static void busy(void) {
    int calls = 0;
    googlenet_options o = {.struct_size = sizeof o, .threads = 3, .parallel_for = lend, .parallel_for_context = &calls};
    googlenet_session *session = NULL;
    OK(googlenet_session_new(model, &o, &session));
    running = session;
    OK(googlenet_session_run(session));
    TRUE(calls == 1);
    running = NULL;
    OK(googlenet_session_run(session)); /* it still works */
    OK(googlenet_session_free(&session));
}

/* Frees the model that it is called for, as anything may while a caller's own code runs. */
static void lend_and_free(void *context, size_t count, googlenet_body body, void *argument) {
    googlenet_model **own = context;
    if (*own)
        OK(googlenet_model_free(own));
    for (size_t i = 0; i < count; i++)
        body(argument, i);
}

static void freed_meanwhile(const char *path) {
    googlenet_model *own = NULL;
    googlenet_options o = {.struct_size = sizeof o, .threads = 2, .parallel_for = lend_and_free, .parallel_for_context = &own};
    googlenet_session *session = NULL;
    OK(googlenet_model_open(path, &own));
    OK(googlenet_session_new(own, &o, &session));
    TRUE(own == NULL);
    OK(googlenet_session_run(session));
    OK(googlenet_session_free(&session));
}

static void forked(void) {
    googlenet_options o = {.struct_size = sizeof o, .threads = 2};
    googlenet_session *with_threads = NULL, *alone = NULL;
    OK(googlenet_session_new(model, &o, &with_threads));
    OK(googlenet_session_new(model, NULL, &alone));
    OK(googlenet_session_run(with_threads));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        failures = 0;
        EXPECT(GOOGLENET_ERR_FORKED, "session has threads", googlenet_session_run(with_threads));
        OK(googlenet_session_run(alone));
        OK(googlenet_session_free(&with_threads));
        TRUE(with_threads == NULL);
        OK(googlenet_session_new(model, NULL, &with_threads)); /* a new one */
        OK(googlenet_session_run(with_threads));
        OK(googlenet_session_free(&with_threads));
        OK(googlenet_session_free(&alone));
        /* Another program ends the child: no leak checker looks at what stays of the session that was left behind. */
        execlp(failures ? "false" : "true", "child", (char *)NULL);
        _exit(1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    TRUE(child > 0 && status == 0);
    OK(googlenet_session_run(with_threads));
    OK(googlenet_session_free(&with_threads));
    OK(googlenet_session_free(&alone));
}

static void texts(void) {
    char small[8], large[1024];
    size_t needed = 0;
    EXPECT(NULLED, "session is null", googlenet_session_run(NULL));
    TRUE(googlenet_last_error_copy(large, sizeof large, &needed) == GOOGLENET_OK);
    TRUE(!strcmp(large, "session is null") && needed == sizeof "session is null");
    TRUE(googlenet_last_error_copy(small, sizeof small, NULL) == GOOGLENET_OK && !strcmp(small, "session"));
    TRUE(googlenet_last_error_copy(NULL, 0, &needed) == GOOGLENET_OK && needed == sizeof "session is null");
    TRUE(googlenet_last_error_copy(NULL, 1, &needed) == GOOGLENET_ERR_NULL);
    TRUE(!strcmp(googlenet_status_name(GOOGLENET_ERR_BUSY), "GOOGLENET_ERR_BUSY"));
    TRUE(!strcmp(googlenet_status_name(-1), "unknown status"));
    TRUE(!strcmp(googlenet_status_name(GOOGLENET_ERR_MEMORY + 1), "unknown status"));
    TRUE(googlenet_abi_version() == GOOGLENET_ABI_VERSION);
    TRUE(googlenet_version()[0] != 0);
}

/* Rounding, and where there is more, what is trapped or flushed to zero; not the flags that arithmetic raises. */
static unsigned fp_control(void) {
#ifdef __SSE__
    return _mm_getcsr() & ~0x3fU;
#else
    return (unsigned)fegetround();
#endif
}

int main(int argc, char **argv) {
    const char *path = argc == 2 ? argv[1] : "";
    const unsigned before = fp_control();
    if (googlenet_model_open(path, &model)) {
        fprintf(stderr, "%s\n", googlenet_last_error());
        return 2;
    }
    const char *names[] = {"pool5"};
    googlenet_options o = {.struct_size = sizeof o, .batch = 2, .endpoints = names, .endpoint_count = 1, .class_maps = 1};
    googlenet_session *session = NULL;
    OK(googlenet_session_new(model, &o, &session)); /* first: those after it share its packed weights */
    models(path);
    options();
    images(session);
    orders(session);
    batches(session);
    ensembles(session);
    tensors(session);
    busy();
    freed_meanwhile(path);
    forked();
    texts();
    OK(googlenet_model_free(&model));
    OK(googlenet_session_run(session)); /* which lives on */
    OK(googlenet_session_free(&session));
    TRUE(fp_control() == before);
    printf("%d of %d checks hold\n", checks - failures, checks);
    return failures != 0;
}
