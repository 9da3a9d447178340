/* Says what is on a picture: classify WEIGHTS PICTURE.ppm */
#include <googlenet.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, googlenet_last_error());
    return 1;
}

int main(int argc, char **argv) {
    size_t width, height;
    FILE *file = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (!file || fscanf(file, "P6 %zu %zu 255", &width, &height) != 2 || fgetc(file) == EOF) {
        fputs("usage: classify WEIGHTS PICTURE.ppm\n", stderr);
        return 2;
    }
    size_t length = 3 * width * height;
    unsigned char *pixels = malloc(length);
    if (!pixels || fread(pixels, 1, length, file) != length)
        return 2;
    fclose(file);

    googlenet_model *model = NULL;
    googlenet_session *session = NULL;
    if (googlenet_model_open(argv[1], &model))
        return fail(argv[1]);
    googlenet_options options = {.struct_size = sizeof options, .threads = 2};
    if (googlenet_session_new(model, &options, &session))
        return fail("session");
    googlenet_image image = {sizeof image, pixels, length, width, height, 3 * width};
    googlenet_prediction best[3];
    if (googlenet_session_classify(session, &image, best, 3))
        return fail(argv[2]);
    for (int i = 0; i < 3; i++)
        printf("%.3f %s\n", best[i].probability, best[i].label);
    googlenet_session_free(&session);
    googlenet_model_free(&model);
    free(pixels);
    return 0;
}
