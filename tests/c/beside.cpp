// The library in one program with another Rust library and with protobuf, which carries much of C++'s own: each works,
// unwinding included.
#include <google/protobuf/struct.pb.h>
#include <googlenet.h>

#include <cstdint>
#include <cstdio>
#include <string>

extern "C" std::int32_t second_answer(void);

int main(int argc, char **argv) {
    googlenet_model *model = nullptr;
    googlenet_session *session = nullptr;
    googlenet_options options{};
    options.struct_size = sizeof options;
    options.threads = 2;
    const float *values = nullptr;
    std::size_t count = 0;
    if (argc != 2 || googlenet_model_open(argv[1], &model) || googlenet_session_new(model, &options, &session) ||
        googlenet_session_run(session) || googlenet_session_probabilities(session, &values, &count)) {
        std::fprintf(stderr, "%s\n", googlenet_last_error());
        return 1;
    }
    google::protobuf::Struct message, copy;
    for (std::size_t i = 0; i < count; i++) {
        const char *label = "";
        if (googlenet_model_label(model, i, &label))
            return 1;
        (*message.mutable_fields())[label].set_number_value(values[i]);
    }
    if (!copy.ParseFromString(message.SerializeAsString()))
        return 1;
    bool same = copy.fields().size() == count && copy.fields().at("cat").number_value() == values[3];
    googlenet_session_free(&session);
    googlenet_model_free(&model);
    try {
        throw second_answer();
    } catch (std::int32_t answer) {
        std::printf("a Rust library says %d, protobuf kept %zu values: %s\n", answer, count, same ? "ok" : "wrong");
        google::protobuf::ShutdownProtobufLibrary();
        return answer == 42 && same ? 0 : 1;
    }
}
