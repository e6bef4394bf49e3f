// A plugin's library with one generator, active on a CPU that is checked, and runs of it through
// the contract's tables.
#pragma once

#include "tests/blocks/recording_sink.hpp"
#include "tests/blocks/test_device.hpp"
#include "tests/invariants/subject.hpp"

#include "core/log.hpp"

#include <tessera/entry.h>
#include <tessera/ext/batch.h>
#include <tessera/ext/inputs.h>
#include <tessera/ext/params.h>

#include <dlfcn.h>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tessera::invariants {

using blocks::Picture;
using blocks::RecordingSink;

// What a run is asked for beyond the model's values.
struct Ask {
    std::uint64_t seed = 5;
    std::uint32_t images = 1, first_image = 0, preview_every = 0, budget_us = 0;
    std::map<std::string, double> values = {};
    std::vector<tessera_input> inputs = {};
    // Of each image, where they are of several requests; over `values`.
    struct Own {
        std::uint64_t seed = 5;
        std::map<std::string, double> values = {};
        std::vector<tessera_input> inputs = {};
    };
    std::vector<Own> own = {};
};

class Instance {
  public:
    explicit Instance(const Model &model, unsigned threads = 1)
        : model_(model), device_(threads, /*checked=*/true) {
        log::set_sink({}); // messages are read, not printed
        const std::string path = std::string(TESSERA_PLUGIN_FOLDER) + "/" + model.plugin + ".so";
        library_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library_ == nullptr) throw std::runtime_error(dlerror());
    }
    ~Instance() {
        close();
        dlclose(library_);
        log::set_sink([](log::Level, std::string_view, std::string_view) {});
    }
    Instance(const Instance &) = delete;
    Instance &operator=(const Instance &) = delete;

    // Creates, initialises and activates on the model at `path`; what was logged where that fails.
    std::string open(const std::string &path) {
        close();
        static_cast<void>(log::take_last_error());
        const auto *entry =
            static_cast<const tessera_entry *>(dlsym(library_, TESSERA_ENTRY_SYMBOL));
        const auto *factory = static_cast<const tessera_generator_factory *>(
            entry->get_factory(TESSERA_GENERATOR_FACTORY));
        tessera_creation creation{};
        creation.struct_size = sizeof creation;
        creation.model = path.c_str();
        generator_ =
            factory->create(device_.host->table(), factory->get_descriptor(0)->id, &creation);
        if (generator_ == nullptr) return said();
        if (generator_->init(generator_) != TESSERA_OK) return said();
        tessera_activation activation{};
        activation.struct_size = sizeof activation;
        activation.compute = device_.owner.table();
        RecordingSink sink;
        if (generator_->activate(generator_, &activation, sink.table()) != TESSERA_OK) {
            return said();
        }
        active_ = true;
        return "";
    }

    // A job from begin to end; what was logged where it fails.
    std::string run(const Ask &ask, RecordingSink &sink) {
        std::string problem;
        tessera_job *const job = begin(ask, sink, problem);
        if (job == nullptr) return problem;
        const tessera_status status = finish(job, ask.budget_us);
        end(job);
        return status == TESSERA_OK ? "" : said();
    }

    // The parts of a run. NULL: it did not begin.
    tessera_job *begin(const Ask &ask, RecordingSink &sink, std::string &problem) {
        const std::vector<tessera_value> values = values_of(ask.values, {}, problem);
        std::vector<std::vector<tessera_value>> own;
        std::vector<tessera_image_request> images;
        for (const Ask::Own &one : ask.own) {
            own.push_back(values_of(ask.values, one.values, problem));
            images.push_back({one.seed, own.back().data(), one.inputs.data(),
                              static_cast<std::uint32_t>(one.inputs.size()), 0});
        }
        if (!problem.empty()) return nullptr;
        tessera_request request{};
        request.struct_size = sizeof request;
        request.seed = ask.seed;
        request.first_image = ask.first_image;
        request.image_count = ask.images;
        request.preview_every = ask.preview_every;
        request.value_count = static_cast<std::uint32_t>(values.size());
        request.values = values.data();
        request.input_count = static_cast<std::uint32_t>(ask.inputs.size());
        request.inputs = ask.inputs.data();
        if (!images.empty()) {
            request.image_count = static_cast<std::uint32_t>(images.size());
            request.images = images.data();
        }
        sink.device = &device_.compute;
        tessera_job *job = nullptr;
        if (generator_->begin(generator_, &request, sink.table(), &job) != TESSERA_OK) {
            problem = said();
        }
        return job;
    }
    // The device refuses allocations meanwhile.
    tessera_status step(tessera_job *job, std::uint32_t budget_us) {
        device_.owner.set_stepping(true);
        const tessera_status status = generator_->step(generator_, job, budget_us);
        device_.owner.set_stepping(false);
        return status;
    }
    tessera_status finish(tessera_job *job, std::uint32_t budget_us) {
        tessera_status status;
        while ((status = step(job, budget_us)) == TESSERA_MORE) {
        }
        return status;
    }
    void end(tessera_job *job) { generator_->end(generator_, job); }

    [[nodiscard]] std::optional<tessera_param> find_param(const std::string &key) const {
        const auto *table = static_cast<const tessera_ext_params *>(
            generator_->get_extension(generator_, TESSERA_EXT_PARAMS));
        for (std::uint32_t i = 0; table != nullptr && i < table->get_count(generator_); ++i) {
            if (key == table->get(generator_, i)->key) return *table->get(generator_, i);
        }
        return std::nullopt;
    }
    // Of the parameters that may differ from image to image; nullopt: the plugin has no such jobs.
    [[nodiscard]] std::optional<std::vector<tessera_param>> batch_params() const {
        const auto *table = static_cast<const tessera_ext_batch *>(
            generator_->get_extension(generator_, TESSERA_EXT_BATCH));
        if (table == nullptr) return std::nullopt;
        const auto *params = static_cast<const tessera_ext_params *>(
            generator_->get_extension(generator_, TESSERA_EXT_PARAMS));
        std::vector<tessera_param> found;
        for (std::uint32_t i = 0; i < table->get_count(generator_); ++i) {
            for (std::uint32_t k = 0; k < params->get_count(generator_); ++k) {
                const tessera_param &param = *params->get(generator_, k);
                if (param.id == table->get(generator_, i)) found.push_back(param);
            }
        }
        return found;
    }
    // Of the inputs.
    [[nodiscard]] bool may_differ(const std::string &key) const {
        const auto *table = static_cast<const tessera_ext_batch *>(
            generator_->get_extension(generator_, TESSERA_EXT_BATCH));
        if (table == nullptr || table->get_input_count == nullptr) return false;
        for (std::uint32_t i = 0; i < table->get_input_count(generator_); ++i) {
            if (key == table->get_input(generator_, i)) return true;
        }
        return false;
    }
    [[nodiscard]] bool has_input(const std::string &key) const {
        const auto *table = static_cast<const tessera_ext_inputs *>(
            generator_->get_extension(generator_, TESSERA_EXT_INPUTS));
        for (std::uint32_t i = 0; table != nullptr && i < table->get_count(generator_); ++i) {
            if (key == table->get(generator_, i)->key) return true;
        }
        return false;
    }

  private:
    // The model's, with `asked` and then `own` over them: the same parameters for any `own` of
    // them.
    std::vector<tessera_value> values_of(const std::map<std::string, double> &asked,
                                         const std::map<std::string, double> &own,
                                         std::string &problem) const {
        std::map<std::string, double> chosen = model_.values;
        for (const auto &[key, number] : asked) chosen[key] = number;
        for (const auto &[key, number] : own) chosen[key] = number;
        std::vector<tessera_value> values;
        for (const auto &[key, number] : chosen) {
            const std::optional<tessera_param> param = find_param(key);
            if (!param) {
                problem = "there is no parameter '" + key + "'";
                return {};
            }
            tessera_value value{};
            value.id = param->id;
            value.type = param->type;
            if (param->type == TESSERA_PARAM_FLOAT) {
                value.as.number = number;
            } else {
                value.as.integer = static_cast<std::int64_t>(number);
            }
            values.push_back(value);
        }
        return values;
    }
    static std::string said() {
        const std::string text = log::take_last_error();
        return text.empty() ? "an error without a message" : text;
    }
    void close() {
        if (generator_ == nullptr) return;
        if (active_) generator_->deactivate(generator_);
        generator_->destroy(generator_);
        generator_ = nullptr;
        active_ = false;
    }

    const Model &model_;
    blocks::TestDevice device_;
    void *library_ = nullptr;
    const tessera_generator *generator_ = nullptr;
    bool active_ = false;
};

} // namespace tessera::invariants
