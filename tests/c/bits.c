/* Writes the logits of an input as they are in memory: bits WEIGHTS INPUT > LOGITS. INPUT holds floats [3, side, side], as they
 * are in memory, too. .ci/embed holds the logits to those of the command, bit for bit. */
#include <googlenet.h>
#include <stdio.h>

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, googlenet_last_error());
    return 1;
}

int main(int argc, char **argv) {
    googlenet_model *model = NULL;
    googlenet_session *session = NULL;
    if (argc != 3) {
        fputs("usage: bits WEIGHTS INPUT > LOGITS\n", stderr);
        return 2;
    }
    if (googlenet_model_open(argv[1], &model))
        return fail(argv[1]);
    float *input = NULL;
    size_t length = 0, classes = 0;
    if (googlenet_session_new(model, NULL, &session) || googlenet_session_input(session, &input, &length))
        return fail("session");

    FILE *file = fopen(argv[2], "rb");
    if (!file || fread(input, sizeof *input, length, file) != length || fgetc(file) != EOF) {
        fprintf(stderr, "%s: expected %zu floats\n", argv[2], length);
        return 2;
    }
    fclose(file);
    const float *logits = NULL;
    if (googlenet_session_run(session) || googlenet_session_logits(session, &logits, &classes))
        return fail("run");
    if (fwrite(logits, sizeof *logits, classes, stdout) != classes || fflush(stdout))
        return 2;
    googlenet_session_free(&session);
    googlenet_model_free(&model);
    return 0;
}
