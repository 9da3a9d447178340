/*
 * GoogLeNet on CPUs: the C interface of the library `googlenet`. Needs C99 or C++11.
 *
 *     googlenet_model *model = NULL;
 *     googlenet_session *session = NULL;
 *     googlenet_prediction best;
 *     googlenet_image image = {sizeof image, pixels, length, width, height, stride};
 *     if (googlenet_model_open("googlenet.safetensors", &model) || googlenet_session_new(model, NULL, &session) ||
 *         googlenet_session_classify(session, &image, &best, 1))
 *         fprintf(stderr, "%s\n", googlenet_last_error());
 *     else
 *         printf("%s\n", best.label);
 *     googlenet_session_free(&session);
 *     googlenet_model_free(&model);
 *
 * Every function that can fail returns a status, which is 0 where it succeeded; results go through pointers and are not
 * written where it failed. A model is immutable, and may serve any number of sessions and threads; it may be freed
 * before its sessions. A session serves one call at a time; a call from a second thread answers GOOGLENET_ERR_BUSY.
 *
 * The library prints nothing, ends no program, installs no signal handler and leaves the floating-point environment as
 * it is. It allocates with malloc; if memory for a session, for its weights or for a copy of a file cannot be had, that is an
 * error, and only if some small thing cannot be had, the program is aborted. A run allocates nothing. Threads wait without spinning, but for the first microseconds after a run.
 *
 * After `fork` the child may use models, and sessions of one thread or with a `parallel_for`, if no other thread was
 * inside the library at that moment. A session with threads of its own answers GOOGLENET_ERR_FORKED there.
 *
 * A pointer that a function takes is null, where that is allowed, or valid for what is said of it. Texts are UTF-8 and
 * end in zero. Arrays of f32 are dense, in the order that their description gives in brackets, outermost first.
 *
 * This file is generated.
 */

#ifndef GOOGLENET_H
#define GOOGLENET_H

#include <stddef.h>
#include <stdint.h>

/* The version of this interface. It grows by one where a program that was compiled with an older header would go wrong;
 * additions leave it alone. */
#define GOOGLENET_ABI_VERSION 1

/* Initialisers that set `struct_size`, and all else to zero: `googlenet_options options = GOOGLENET_OPTIONS_INIT;`. They name every
 * field, so that no compiler warns of those that are left out. */
#define GOOGLENET_OPTIONS_INIT {sizeof(googlenet_options), 0, 0, 0, 0, NULL, 0, 0, 0, NULL, NULL}
#define GOOGLENET_IMAGE_INIT {sizeof(googlenet_image), NULL, 0, 0, 0, 0}
#define GOOGLENET_MODEL_INFO_INIT {sizeof(googlenet_model_info), 0, 0, 0}
#define GOOGLENET_SESSION_INFO_INIT {sizeof(googlenet_session_info), 0, 0, 0, 0, 0, 0, 0, 0, 0}

// What a call answers. Values keep their meaning; later versions may add some.
typedef enum {
    // It is done.
    GOOGLENET_OK = 0,
    // A pointer that must not be null is.
    GOOGLENET_ERR_NULL = 1,
    // A struct's `struct_size` is none that this library knows.
    GOOGLENET_ERR_STRUCT_SIZE = 2,
    // An array has another length than is needed.
    GOOGLENET_ERR_LENGTH = 3,
    // A number is out of its range, or a text is not UTF-8.
    GOOGLENET_ERR_ARGUMENT = 4,
    // No layer has that name, or the session was made without it.
    GOOGLENET_ERR_LAYER = 5,
    // The instruction set is unknown, or this machine does not have it.
    GOOGLENET_ERR_ISA = 6,
    // The operating system refused to open or read a file.
    GOOGLENET_ERR_IO = 7,
    // The weights are damaged, or not of this network.
    GOOGLENET_ERR_MODEL = 8,
    // The system refused to start threads.
    GOOGLENET_ERR_THREADS = 9,
    // Another thread is inside a call on this session.
    GOOGLENET_ERR_BUSY = 10,
    // The session has threads, and they stayed behind in the process that forked this one.
    GOOGLENET_ERR_FORKED = 11,
    // A fault of the library's own; the session, if one was involved, only takes `googlenet_session_free` from now on.
    GOOGLENET_ERR_INTERNAL = 12,
    // The system has not as much memory as a session, its packed weights or a copy of a file takes.
    GOOGLENET_ERR_MEMORY = 13,
} googlenet_status;

// Instruction sets.
typedef enum {
    // The best of this machine, or the one that the environment variable `GOOGLENET_ISA` names.
    GOOGLENET_ISA_BEST = 0,
    // None in particular; on every machine.
    GOOGLENET_ISA_PORTABLE = 1,
    // NEON, on 64-bit ARM.
    GOOGLENET_ISA_NEON = 2,
    // AVX2, FMA and F16C, on x86-64.
    GOOGLENET_ISA_AVX2 = 3,
    // AVX-512 F, on x86-64.
    GOOGLENET_ISA_AVX512 = 4,
    // 128-bit SIMD, in builds for WebAssembly.
    GOOGLENET_ISA_SIMD128 = 5,
    // The same with relaxed SIMD, whose multiply-adds are fused where the machine can.
    GOOGLENET_ISA_RELAXED_SIMD = 6,
} googlenet_isa;

// Precisions.
typedef enum {
    // Single precision.
    GOOGLENET_PRECISION_F32 = 0,
    // Weights, and activations where the machine multiplies them, rounded to bfloat16.
    GOOGLENET_PRECISION_BF16 = 1,
    // Activations and weights of 8 bits, for weights that `googlenet quantize` made.
    GOOGLENET_PRECISION_INT8 = 2,
} googlenet_precision;

// What the bytes of a pixel are.
typedef enum {
    // Three bytes: red, green, blue.
    GOOGLENET_PIXELS_RGB = 0,
    // Three bytes: blue, green, red, as OpenCV has them.
    GOOGLENET_PIXELS_BGR = 1,
    // Four bytes: red, green, blue, and a fourth that is left out.
    GOOGLENET_PIXELS_RGBA = 2,
    // Four bytes: blue, green, red, and a fourth that is left out.
    GOOGLENET_PIXELS_BGRA = 3,
    // One byte, which stands for all three colours.
    GOOGLENET_PIXELS_GREY = 4,
} googlenet_pixels;

// Models that look together at one or more crops of a picture: their probabilities are averaged. It serves one call at a
// time, as a session does.
typedef struct googlenet_ensemble googlenet_ensemble;

// Weights, for any number of sessions and threads; nothing changes them. Their form was checked, and, but for packed files
// that are mapped, their hash; what their numbers are worth was not. Every function that takes a
// `const googlenet_model *` may be called from several threads at once.
typedef struct googlenet_model googlenet_model;

// A plan over a model's weights, with the memory and the threads of a run. It serves one call at a time: a second one,
// from another thread, answers `GOOGLENET_ERR_BUSY` and changes nothing. Calls on different sessions do not disturb
// each other.
typedef struct googlenet_session googlenet_session;

// What a `googlenet_parallel_for` calls.
typedef void (*googlenet_body)(void *argument, size_t index);

// A function of the caller's that lends its threads: it should call `body(argument, i)` for each `i` below `count`,
// at once on as many threads as it can, and return when all these calls have. It may make fewer calls, or none, or one
// after the other: what is left undone the calling thread does. It must not call `body` after it has returned, and no
// exception and no `longjmp` may leave it. `context` is what the options say.
typedef void (*googlenet_parallel_for)(void *context, size_t count, googlenet_body body, void *argument);

// What a session is made for. Set all bytes to zero, then `struct_size`; a field that is zero means its default:
// `googlenet_options options = GOOGLENET_OPTIONS_INIT;`
typedef struct {
    // `sizeof(googlenet_options)`.
    size_t struct_size;
    // Threads that work on a run, the caller's included, 1 to 256; by default 1, which starts none.
    uint32_t threads;
    // Images of a run, 1 to 4096; by default 1. With at least as many images as threads each takes whole images.
    uint32_t batch;
    // The input side in pixels, 32 to 4096; by default the weights' own. `batch * side * side` is at most 67108864.
    uint32_t side;
    // A `googlenet_isa`; by default `GOOGLENET_ISA_BEST`.
    uint32_t isa;
    // Layers whose outputs are kept, by the names of the Caffe model: `endpoint_count` texts. A module's name stands
    // for its output, and what stands before a slash for the layer where only one begins so: "pool5" is "pool5/7x7_s1",
    // the 1024 features that the classifier sees.
    const char *const *endpoints;
    // How many there are.
    size_t endpoint_count;
    // 1 to keep what `googlenet_session_class_map` needs.
    uint32_t class_maps;
    // A `googlenet_precision`; by default `GOOGLENET_PRECISION_F32`.
    uint32_t precision;
    // Lends `threads` threads for the time of a run, instead of threads of the session's own; null for those. It is
    // called by the thread that makes the session or runs it, once, or once an image with fewer images than threads;
    // never for one thread.
    googlenet_parallel_for parallel_for;
    // Handed to `parallel_for`; it may be called from whichever thread uses the session.
    void *parallel_for_context;
} googlenet_options;

// A picture of the caller's: rows of pixels, three bytes each, red, green, blue, where nothing else is said.
typedef struct {
    // `sizeof(googlenet_image)`.
    size_t struct_size;
    // The first pixel of the first row; not in a session's input.
    const uint8_t *data;
    // Bytes at `data`, at least `(height - 1) * stride + 3 * width`; where pixels have one byte or four, that many for 3.
    size_t length;
    // Pixels of a row, at least 1.
    size_t width;
    // Rows, at least 1.
    size_t height;
    // Bytes from the beginning of a row to that of the next, at least `3 * width`, or as above.
    size_t stride;
} googlenet_image;

// One class and how likely it is.
typedef struct {
    // The class, counted from 0.
    size_t class_index;
    // 0 to 1.
    float probability;
    // Its name, UTF-8, or ""; it lives as long as the session, or its model.
    const char *label;
} googlenet_prediction;

// What is known of a model.
typedef struct {
    // `sizeof(googlenet_model_info)`, set by the caller.
    size_t struct_size;
    // Classes that the network tells apart.
    size_t classes;
    // The input side that the weights are meant for, in pixels.
    size_t side;
    // Names of classes: as many as classes, or 0.
    size_t labels;
} googlenet_model_info;

// What is known of a session.
typedef struct {
    // `sizeof(googlenet_session_info)`, set by the caller.
    size_t struct_size;
    // The input side, in pixels.
    size_t side;
    // Images of a run.
    size_t batch;
    // Threads of a run.
    size_t threads;
    // Classes that the network tells apart.
    size_t classes;
    // Rows of a class map; 0 if the session has none.
    size_t map_height;
    // Columns of a class map; 0 if the session has none.
    size_t map_width;
    // Bytes that a run works in. Packed weights come on top, shared by all sessions of the model, and some 60 KiB.
    size_t memory_bytes;
    // The instruction set, a `googlenet_isa` other than `GOOGLENET_ISA_BEST`.
    uint32_t isa;
    // The precision, a `googlenet_precision`.
    uint32_t precision;
} googlenet_session_info;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The value of `GOOGLENET_ABI_VERSION` that the library was built with. A program that links the shared library may
// compare it with its header's.
uint32_t googlenet_abi_version(void);

// The library's version, as in "0.1.0"; static.
const char *googlenet_version(void);

// Plans an ensemble of `model_count` models, 1 to 64, which must tell the same classes apart, in the same order; that is not
// checked. `crops` says how often a picture is looked at: 1, the middle; 10, the corners and the middle, mirrored, too; 144,
// as the paper of GoogLeNet has it. Of `options`, which may be null, all counts but `batch`, which follows from `crops`, and
// what keeps layers. The caller frees `*ensemble`, which is not written if this fails; the models may be freed before it.
//
// Answers as `googlenet_session_new`; `GOOGLENET_ERR_MODEL` where the models differ in their number of classes, by more than a
// background that is class 0.
googlenet_status googlenet_ensemble_new(const googlenet_model *const *models,
                                        size_t model_count,
                                        uint32_t crops,
                                        const googlenet_options *options,
                                        googlenet_ensemble **ensemble);

// Classifies one picture, whose pixels are those of a `googlenet_pixels`, and writes the `count` likeliest classes to
// `predictions`, the likeliest first; `count` is at most the number of classes. Labels live as long as the ensemble.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_STRUCT_SIZE`, `GOOGLENET_ERR_ARGUMENT`, `GOOGLENET_ERR_LENGTH`,
// `GOOGLENET_ERR_MEMORY`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`; `GOOGLENET_ERR_MODEL` where the weights give no
// probabilities.
googlenet_status googlenet_ensemble_classify(googlenet_ensemble *ensemble,
                                             const googlenet_image *image,
                                             uint32_t pixels,
                                             googlenet_prediction *predictions,
                                             size_t count);

// Frees `*ensemble`, ends its threads, and sets it to null; `ensemble` and `*ensemble` may be null. In a process that was
// forked off, one with threads gives up its handle only, as a session does. When this call begins no other thread may be
// inside a call on the ensemble, and none may begin one after, unless this call answers `GOOGLENET_ERR_BUSY`: a call that has
// the ensemble makes it answer that, one that is only about to take it does not.
//
// Answers `GOOGLENET_OK`, or `GOOGLENET_ERR_BUSY`, which leaves it as it is.
googlenet_status googlenet_ensemble_free(googlenet_ensemble **ensemble);

// Reads a weight file into memory and checks it, its hash included. `path` is in the system's encoding; on Windows it
// is UTF-8. The caller frees `*model`, which is not written if this fails.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_IO`, `GOOGLENET_ERR_MODEL`.
googlenet_status googlenet_model_open(const char *path, googlenet_model **model);

// Maps a weight file instead of reading it, and checks it as `googlenet_model_open` does; but of a packed file only the
// header, until a session cannot use its packed weights: see `googlenet_model_verify`. The file's pages are shared by
// all processes that map it, and the system may drop them. Until the model, its sessions and its ensembles are freed,
// nobody may write to the file or cut it off, or the program may end (SIGBUS) or compute anything; replacing it by a
// rename is harmless.
//
// Answers as `googlenet_model_open`.
googlenet_status googlenet_model_map(const char *path, googlenet_model **model);

// Copies a weight file that is in memory, `length` bytes at `data`, and checks it.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_MODEL`, `GOOGLENET_ERR_MEMORY`.
googlenet_status googlenet_model_copy(const void *data, size_t length, googlenet_model **model);

// Uses a weight file where it lies in memory, `length` bytes at `data`, and checks it: an array of the program, aligned
// to 64 bytes. If it is not so aligned, it is copied. It must stay as it is until the model, its sessions and its
// ensembles are freed.
//
// Answers as `googlenet_model_copy`.
googlenet_status googlenet_model_borrow(const void *data,
                                        size_t length,
                                        googlenet_model **model);

// Checks a model's weights against the file's hash. Whoever opens, copies or borrows a file has that done already; of a
// packed file that is mapped only the header was checked. This reads the whole file.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, or `GOOGLENET_ERR_MODEL` where the weights are damaged.
googlenet_status googlenet_model_verify(const googlenet_model *model);

// Frees `*model` and sets it to null; `model` and `*model` may be null. Sessions of the model live on: they keep what
// they need. No other thread may be using the handle.
//
// Answers `GOOGLENET_OK`, always.
googlenet_status googlenet_model_free(googlenet_model **model);

// Describes a model: the caller sets `info->struct_size`, this function all other fields.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_STRUCT_SIZE`.
googlenet_status googlenet_model_describe(const googlenet_model *model, googlenet_model_info *info);

// The name of a class, counted from 0, in UTF-8; it lives as long as the model, or any session of it. Where the weights
// have no names, `*label` becomes "".
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, or `GOOGLENET_ERR_ARGUMENT` where there is no such class.
googlenet_status googlenet_model_label(const googlenet_model *model, size_t class_index, const char **label);

// Plans and prepares a session: chooses kernels, packs weights, reserves memory, starts threads. All that can fail
// fails here. `options` may be null: one thread, one image. The caller frees `*session`, which is not written if this
// fails; the model may be freed before it.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_STRUCT_SIZE`, `GOOGLENET_ERR_ARGUMENT`,
// `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_LAYER`, `GOOGLENET_ERR_ISA`, `GOOGLENET_ERR_THREADS`, `GOOGLENET_ERR_MEMORY`;
// `GOOGLENET_ERR_MODEL` where
// the weights turn out to be damaged: see `googlenet_model_verify`.
googlenet_status googlenet_session_new(const googlenet_model *model,
                                       const googlenet_options *options,
                                       googlenet_session **session);

// Frees `*session`, ends its threads, and sets it to null; `session` and `*session` may be null. In a process that was
// forked off, a session with threads gives up its handle only: its memory stays. When this call begins no other thread may be
// inside a call on the session, and none may begin one after, unless this call answers `GOOGLENET_ERR_BUSY`: a call that has
// the session makes it answer that, one that is only about to take it does not.
//
// Answers `GOOGLENET_OK`, or `GOOGLENET_ERR_BUSY`, which leaves it as it is.
googlenet_status googlenet_session_free(googlenet_session **session);

// Describes a session: the caller sets `info->struct_size`, this function all other fields.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_STRUCT_SIZE`, or any that a busy session answers.
googlenet_status googlenet_session_describe(const googlenet_session *session, googlenet_session_info *info);

// Where the next run reads its input: `[batch, 3, side, side]` in f32, preprocessed. `*values` stays where it is as long
// as the session lives, and runs leave its values alone; it must not be written during a call on the session, nor read
// during one that sets the input or classifies. `length`, unless null, receives how many values it has.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`.
googlenet_status googlenet_session_input(googlenet_session *session,
                                         float **values,
                                         size_t *length);

// Copies the next run's input, `[batch, 3, side, side]`, preprocessed: `length` must be just that many values.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`.
googlenet_status googlenet_session_set_input(googlenet_session *session, const float *values, size_t length);

// Makes a picture the input of one image of the batch, like `googlenet_session_set_image`, of pixels that are those of a
// `googlenet_pixels`. But for `GOOGLENET_PIXELS_RGB` it copies the picture, in memory that it takes for as long as it runs.
//
// Answers as `googlenet_session_set_image`; `GOOGLENET_ERR_ARGUMENT` where `pixels` stands for none,
// `GOOGLENET_ERR_MEMORY`.
googlenet_status googlenet_session_set_pixels(googlenet_session *session,
                                              size_t batch_index,
                                              const googlenet_image *image,
                                              uint32_t pixels);

// Makes a picture the input of one image of the batch, counted from 0: resized, cropped and normalised as the weights
// ask.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_STRUCT_SIZE`, `GOOGLENET_ERR_ARGUMENT`,
// `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`.
googlenet_status googlenet_session_set_image(googlenet_session *session,
                                             size_t batch_index,
                                             const googlenet_image *image);

// Runs the network on every image of the batch. It allocates nothing, and gives the same bits for the same input, for
// any number of threads.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`.
googlenet_status googlenet_session_run(googlenet_session *session);

// Records what each thread does in the next `runs` runs, for `googlenet_session_write_trace`; later ones are not recorded,
// and an earlier recording is dropped. With 0 nothing is recorded any more. All memory for it is had here, some 22 KiB for
// each run, thread and image of GoogLeNet on two threads: runs allocate nothing, and take less than 1 % longer.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`; `GOOGLENET_ERR_MEMORY`, after
// which nothing is recorded.
googlenet_status googlenet_session_record(googlenet_session *session,
                                          size_t runs);

// Writes what was recorded since `googlenet_session_record` to the file `path`, which is replaced as a whole if it
// exists: JSON in the Trace Event format, which https://ui.perfetto.dev opens. Each thread has a track, on it a slice for
// each task, with its step, kernel, phase, image and range, and slices for waits. `path` is in the system's encoding; on
// Windows it is UTF-8.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_ARGUMENT`, `GOOGLENET_ERR_IO`, `GOOGLENET_ERR_BUSY`,
// `GOOGLENET_ERR_FORKED`.
googlenet_status googlenet_session_write_trace(const googlenet_session *session,
                                               const char *path);

// The last run's logits, `[batch, classes]`; zeros before the first. `*values` may be read until the session's next run
// or its end: after a run they are to be asked for again. `length`, unless null, receives how many there are.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`.
googlenet_status googlenet_session_logits(const googlenet_session *session, const float **values, size_t *length);

// The last run's probabilities, `[batch, classes]`, like `googlenet_session_logits`.
//
// Answers as `googlenet_session_logits`.
googlenet_status googlenet_session_probabilities(const googlenet_session *session,
                                                 const float **values,
                                                 size_t *length);

// The last run's output of a layer that the options named, `[batch, c, h, w]`, under the name they gave it, like
// `googlenet_session_logits`. `shape`, unless null, receives the three numbers `c`, `h`, `w`.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_ARGUMENT`, `GOOGLENET_ERR_LAYER`, `GOOGLENET_ERR_BUSY`,
// `GOOGLENET_ERR_FORKED`.
googlenet_status googlenet_session_endpoint(const googlenet_session *session,
                                            const char *layer,
                                            const float **values,
                                            size_t *length,
                                            size_t *shape);

// Classifies one picture: prepares it as the first image of the batch, runs, and writes the `count` likeliest classes
// to `predictions`, the likeliest first; `count` is at most the number of classes.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_STRUCT_SIZE`, `GOOGLENET_ERR_ARGUMENT`,
// `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_BUSY`, `GOOGLENET_ERR_FORKED`; `GOOGLENET_ERR_MODEL` where the weights give no
// probabilities, because they have NaN, or numbers so large that sums overflow.
googlenet_status googlenet_session_classify(googlenet_session *session,
                                            const googlenet_image *image,
                                            googlenet_prediction *predictions,
                                            size_t count);

// The `count` likeliest classes of one image of the last run's batch, counted from 0, the likeliest first; `count` is at most
// the number of classes.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_ARGUMENT`, `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_BUSY`,
// `GOOGLENET_ERR_FORKED`; `GOOGLENET_ERR_MODEL` where there are no probabilities, because the weights or the input have NaN,
// or numbers so large that sums overflow.
googlenet_status googlenet_session_predictions(const googlenet_session *session,
                                               size_t batch_index,
                                               googlenet_prediction *predictions,
                                               size_t count);

// Where in a picture a class is seen: how much each place speaks for it, `[map_height, map_width]` values for one image
// of the last run's batch. Their mean and `*bias` add up to the class's logit. `length` must be
// `map_height * map_width`, as `googlenet_session_describe` says; `bias` may be null.
//
// Answers `GOOGLENET_OK`; `GOOGLENET_ERR_NULL`, `GOOGLENET_ERR_LENGTH`, `GOOGLENET_ERR_ARGUMENT`, `GOOGLENET_ERR_BUSY`,
// `GOOGLENET_ERR_FORKED`; `GOOGLENET_ERR_LAYER` if the session was made without `class_maps`.
googlenet_status googlenet_session_class_map(const googlenet_session *session,
                                             size_t batch_index,
                                             size_t class_index,
                                             float *values,
                                             size_t length,
                                             float *bias);

// The name of a status, as in "GOOGLENET_ERR_BUSY"; static, never null. Any value may be asked for.
const char *googlenet_status_name(int status);

// What went wrong in this thread's last call that failed: UTF-8, at most 1023 bytes, never null, "" at first. It names
// the argument. It stays until the thread's next call that fails, or its end; calls that succeed leave it alone.
const char *googlenet_last_error(void);

// The same text, copied with its final zero to `buffer` of `length` bytes, and cut off if there is less room.
// `needed`, unless null, receives the bytes that the whole takes. With a length of 0 `buffer` may be null.
//
// Answers `GOOGLENET_OK`, or `GOOGLENET_ERR_NULL`, which leaves the text as it is.
googlenet_status googlenet_last_error_copy(char *buffer, size_t length, size_t *needed);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* GOOGLENET_H */
