#include "sandbox/material/worker.hpp"

#include "core/thread_priority.hpp"
#include "sandbox/material/export.hpp"

#include <algorithm>
#include <utility>

namespace tessera {
namespace {

// The least for a latent map to be seen in the picture's place.
Image enlarged(const Image &image, std::uint32_t width, std::uint32_t height) {
    const std::uint32_t factor = std::max(1U, std::min(width / image.width, height / image.height));
    Image large{image.width * factor, image.height * factor, image.channels, {}};
    large.pixels.reserve(image.pixels.size() * factor * factor);
    for (std::uint32_t y = 0; y < large.height; ++y) {
        for (std::uint32_t x = 0; x < large.width; ++x) {
            const std::size_t index = std::size_t{y / factor} * image.width + x / factor;
            const auto pixel =
                image.pixels.begin() + static_cast<std::ptrdiff_t>(index * image.channels);
            large.pixels.insert(large.pixels.end(), pixel, pixel + image.channels);
        }
    }
    return large;
}

} // namespace

bool MaterialRequest::same_as(const MaterialRequest &other) const {
    return map == other.map && settings == other.settings && picture == other.picture &&
           latents == other.latents && channel == other.channel && info.job == other.info.job &&
           info.step == other.info.step;
}

MaterialWorker::MaterialWorker(const VulkanInstance &instance, std::string device_name,
                               std::filesystem::path cache_folder)
    : maker_(instance, std::move(device_name), std::move(cache_folder)),
      thread_([this] { work(); }) {}

MaterialWorker::~MaterialWorker() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    news_.notify_one();
    thread_.join();
}

void MaterialWorker::want(const MaterialRequest &request) {
    {
        const std::lock_guard lock(mutex_);
        if (wanted_ && wanted_->same_as(request)) return;
        wanted_ = request;
        wanted_is_new_ = true;
    }
    news_.notify_one();
}

void MaterialWorker::export_to(std::filesystem::path folder, std::string name, std::string material,
                               std::shared_ptr<const Image> picture,
                               const MaterialOptions &options) {
    {
        const std::lock_guard lock(mutex_);
        exports_.push_back(
            {std::move(folder), std::move(name), std::move(material), std::move(picture), options});
    }
    news_.notify_one();
}

MaterialResult MaterialWorker::newest() const {
    const std::lock_guard lock(mutex_);
    return newest_;
}

bool MaterialWorker::busy() const {
    const std::lock_guard lock(mutex_);
    return working_ || wanted_is_new_ || !exports_.empty();
}

bool MaterialWorker::preparing() const {
    const std::lock_guard lock(mutex_);
    return working_ && !prepared_;
}

std::string MaterialWorker::export_report() const {
    const std::lock_guard lock(mutex_);
    return export_report_;
}

std::uint64_t MaterialWorker::exports_failed() const {
    const std::lock_guard lock(mutex_);
    return exports_failed_;
}

void MaterialWorker::work() {
    lower_thread_priority(10); // what the device starts inherits it
    std::unique_lock lock(mutex_);
    while (true) {
        news_.wait(lock, [this] { return stop_ || wanted_is_new_ || !exports_.empty(); });
        if (stop_) return;
        working_ = true;
        if (wanted_is_new_) {
            const MaterialRequest request = *wanted_;
            wanted_is_new_ = false;
            lock.unlock();
            auto made = make(request);
            std::shared_ptr<const Image> picture;
            if (made) picture = std::make_shared<const Image>(std::move(*made));
            lock.lock();
            newest_ = {std::move(picture), request.info, made ? "" : made.error().message};
        } else {
            const Export wanted = std::move(exports_.front());
            exports_.pop_front();
            lock.unlock();
            auto made = make(wanted);
            lock.lock();
            export_report_ = made ? *made : made.error().message;
            if (!made) ++exports_failed_;
        }
        prepared_ = true;
        working_ = false;
    }
}

Result<std::shared_ptr<const MaterialMaps>>
MaterialWorker::maps_of(const std::shared_ptr<const Image> &picture,
                        const MaterialSettings &settings) {
    if (maps_ && mapped_ == picture && mapped_settings_ == settings) return maps_;
    auto maps = maker_.maps_of(*picture, settings);
    if (!maps) return maps.error();
    mapped_ = picture;
    mapped_settings_ = settings;
    maps_ = std::make_shared<const MaterialMaps>(std::move(*maps));
    return maps_;
}

Result<Image> MaterialWorker::make(const MaterialRequest &request) {
    if (request.map == MaterialMap::kLatents) return make_latents(request);
    auto maps = maps_of(request.picture, request.settings);
    if (!maps) return maps.error();
    return picture_of(**maps, request.map);
}

Result<Image> MaterialWorker::make_latents(const MaterialRequest &request) {
    if (request.latents == nullptr) {
        return make_error(Status::kNotFound, "no latents were kept of this step");
    }
    const Latents &latents = *request.latents;
    const auto channel = static_cast<std::size_t>(
        std::clamp(request.channel, 0, static_cast<int>(latents.channels) - 1));
    std::vector<float> plane;
    plane.reserve(std::size_t{latents.width} * latents.height);
    for (std::size_t i = channel; i < latents.values.size(); i += latents.channels) {
        plane.push_back(latents.values[i]);
    }
    auto decibels = maker_.spectrum_of(plane, latents.width, latents.height);
    if (!decibels) return decibels.error();
    return enlarged(picture_of_spectrum(*decibels, latents.width, latents.height),
                    request.picture->width, request.picture->height);
}

Result<std::string> MaterialWorker::make(const Export &wanted) {
    auto maps = maps_of(wanted.picture, wanted.options.maps);
    if (!maps) {
        return make_error(maps.error().status, "{}: {}", wanted.folder.string(),
                          maps.error().message);
    }
    auto names =
        export_material(wanted.folder, wanted.name, wanted.material, **maps, wanted.options);
    if (!names) return names.error();
    return fmt::format("{} files in {}", names->size(), wanted.folder.string());
}

} // namespace tessera
