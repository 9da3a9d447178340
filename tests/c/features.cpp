// The C++ side of it: handles that free themselves, the embedding of a picture, and a class map against its logit.
#include <googlenet.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Free {
    void operator()(googlenet_model *model) const { googlenet_model_free(&model); }
    void operator()(googlenet_session *session) const { googlenet_session_free(&session); }
};
using Model = std::unique_ptr<googlenet_model, Free>;
using Session = std::unique_ptr<googlenet_session, Free>;

void check(googlenet_status status) {
    if (status != GOOGLENET_OK)
        throw std::runtime_error(std::string(googlenet_status_name(status)) + ": " + googlenet_last_error());
}

Model open(const char *path) {
    googlenet_model *model = nullptr;
    check(googlenet_model_open(path, &model));
    return Model(model);
}

void run(const char *weights) {
    Model model = open(weights);
    const char *endpoints[] = {"pool5", "inception_4e"};
    googlenet_options options = GOOGLENET_OPTIONS_INIT;
    options.endpoints = endpoints;
    options.endpoint_count = 2;
    options.class_maps = 1;
    googlenet_session *made = nullptr;
    check(googlenet_session_new(model.get(), &options, &made));
    Session session(made);
    model.reset(); // the session keeps what it needs

    std::vector<unsigned char> pixels(100 * 80 * 3);
    for (std::size_t i = 0; i < pixels.size(); i++)
        pixels[i] = static_cast<unsigned char>(i * 7 % 251);
    googlenet_image image{sizeof image, pixels.data(), pixels.size(), 100, 80, 300};
    check(googlenet_session_set_image(session.get(), 0, &image));
    check(googlenet_session_run(session.get()));

    const float *features = nullptr, *logits = nullptr;
    std::size_t count = 0, classes = 0, shape[3] = {};
    check(googlenet_session_endpoint(session.get(), "pool5", &features, &count, shape));
    if (count != 1024 || shape[0] != 1024 || shape[1] != 1 || shape[2] != 1)
        throw std::runtime_error("an embedding has 1024 values");
    check(googlenet_session_logits(session.get(), &logits, &classes));

    googlenet_session_info info = GOOGLENET_SESSION_INFO_INIT;
    check(googlenet_session_describe(session.get(), &info));
    std::vector<float> map(info.map_height * info.map_width);
    for (std::size_t c = 0; c < classes; c++) {
        float bias = 0;
        check(googlenet_session_class_map(session.get(), 0, c, map.data(), map.size(), &bias));
        double mean = std::accumulate(map.begin(), map.end(), 0.0) / static_cast<double>(map.size());
        if (std::fabs(mean + bias - logits[c]) > 1e-4)
            throw std::runtime_error("a class map's mean and bias are the logit");
    }
    std::printf("%zu features, %zu class maps: ok\n", count, classes);
}

} // namespace

int main(int argc, char **argv) {
    try {
        run(argc == 2 ? argv[1] : "");
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
