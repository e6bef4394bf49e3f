#include "sandbox/generate/encode.hpp"

#include "assets/image_resize.hpp"
#include "assets/output_file.hpp"
#include "host/run/session.hpp"

#include <tessera/ext/features.h>

#include <nlohmann/json.hpp>

#include <cstring>

namespace tessera {
namespace {

// A tensor of all pictures, grown picture by picture.
struct Rows {
    std::vector<std::int64_t> shape; // of one picture
    std::vector<std::byte> bytes;
};

Result<Image> load_fitted(const std::filesystem::path &path, const InputSlot &slot,
                          const std::function<void(std::string_view)> &tell) {
    auto image = read_image(path, 4);
    if (!image) return image.error();
    if (slot.width != 0 && (image->width != slot.width || image->height != slot.height)) {
        image = fit_image(*image, slot.width, slot.height);
        if (!image) return image.error();
    }
    if (lay_over_black(*image)) {
        tell(path.string() + ": its transparent parts are taken as black");
    }
    return image;
}

Result<void> keep(const PlayerEvent &event, const std::filesystem::path &path, Rows &rows) {
    if (event.dtype != TESSERA_DTYPE_F32 || (!rows.bytes.empty() && event.shape != rows.shape)) {
        return make_error(Status::kFailed, "{}: '{}' is not as of the pictures before",
                          path.string(), event.name);
    }
    rows.shape = event.shape;
    rows.bytes.insert(rows.bytes.end(), event.bytes.begin(), event.bytes.end());
    return {};
}

std::string file_of(const Session &session, const GenerateOptions &options, const Rows &pooled,
                    const Rows &dense) {
    nlohmann::ordered_json header, names = nlohmann::ordered_json::array();
    for (const auto &path : options.encoded) names.push_back(path.string());
    header["__metadata__"] = {{"format", "tessera-features/1"},
                              {"generator", session.info().id},
                              {"model", session.info().model},
                              {"pictures", names.dump()}};
    std::size_t end = 0;
    for (const auto &[name, rows] :
         {std::pair<const char *, const Rows &>("pooled", pooled), {"dense", dense}}) {
        std::vector<std::int64_t> shape{static_cast<std::int64_t>(options.encoded.size())};
        shape.insert(shape.end(), rows.shape.begin(), rows.shape.end());
        header[name] = {
            {"dtype", "F32"}, {"shape", shape}, {"data_offsets", {end, end + rows.bytes.size()}}};
        end += rows.bytes.size();
    }
    std::string text =
        header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const std::uint64_t size = text.size();
    std::string file(reinterpret_cast<const char *>(&size), sizeof size);
    file += text;
    for (const Rows *rows : {&pooled, &dense}) {
        file.append(reinterpret_cast<const char *>(rows->bytes.data()), rows->bytes.size());
    }
    return file;
}

} // namespace

Result<void> encode_pictures(Session &session, const GenerateOptions &options,
                             const std::function<bool()> &should_stop,
                             const std::function<void(std::string_view)> &tell) {
    const InputSlot *const found = find_slot(session.inputs(), TESSERA_INPUT_ENCODE);
    if (found == nullptr) {
        return make_error(Status::kUnsupported, "--encode: {} does not encode pictures",
                          session.info().id);
    }
    const InputSlot slot = sized(*found, session.params());
    Rows pooled, dense;
    for (const std::filesystem::path &path : options.encoded) {
        auto image = load_fitted(path, slot, tell);
        if (!image) return image.error();
        PlayRequest request;
        request.inputs.push_back({TESSERA_INPUT_ENCODE, std::move(*image)});
        Result<void> kept;
        int received = 0;
        SessionCallbacks callbacks;
        callbacks.should_stop = should_stop;
        callbacks.on_event = [&](const PlayerEvent &event) {
            if (event.type != PlayerEvent::Type::kFeatures || !kept) return;
            for (auto &[name, rows] :
                 {std::pair<const char *, Rows &>(TESSERA_FEATURE_POOLED, pooled),
                  {TESSERA_FEATURE_DENSE, dense}}) {
                if (event.name != name) continue;
                kept = keep(event, path, rows);
                ++received;
            }
        };
        auto report = session.run(session.job(std::move(request)), callbacks);
        if (!report) return report.error();
        if (!kept) return kept;
        if (received != 2) {
            return make_error(Status::kFailed, "{}: {} sent no representation", path.string(),
                              session.info().id);
        }
    }
    return write_file(options.features, file_of(session, options, pooled, dense));
}

} // namespace tessera
