#include "host/generator/generator.hpp"

#include "assets/image_file.hpp"
#include "core/log.hpp"
#include "host/plugin/plugin_text.hpp"

#include <tessera/ext/features.h>
#include <tessera/ext/inputs.h>

#include <algorithm>
#include <utility>

namespace tessera {
namespace {

constexpr std::uint32_t kMaxSlots = 64;
constexpr std::uint32_t kMaxTaps = 1024;

std::string_view state_name(Generator::State state) {
    switch (state) {
    case Generator::State::kMade:
        return "made";
    case Generator::State::kReady:
        return "ready";
    case Generator::State::kActive:
        return "active";
    }
    return "unknown";
}

Result<InputSlot> read_slot(const tessera_input_slot *from) {
    if (from == nullptr) return make_error(Status::kInvalidArgument, "is NULL");
    const tessera_input_slot local = read_growable(from);
    InputSlot slot{local.type,
                   copy_text(local.key),
                   copy_text(local.name),
                   copy_text(local.help),
                   local.width,
                   local.height,
                   local.cell_columns,
                   local.cell_rows,
                   (local.flags & TESSERA_INPUT_FOLLOWS_SIZE) != 0};
    if (slot.key.empty()) return make_error(Status::kInvalidArgument, "has no key");
    if (slot.type < TESSERA_INPUT_TYPE_RGBA8 || slot.type > TESSERA_INPUT_TYPE_F32) {
        return make_error(Status::kInvalidArgument, "('{}') has the unknown type {}", slot.key,
                          slot.type);
    }
    for (const std::uint32_t side : {slot.width, slot.height, slot.cell_columns, slot.cell_rows}) {
        if (side > kMaxImageSide) {
            return make_error(Status::kInvalidArgument,
                              "('{}') has a side of {}; expected at most {}", slot.key, side,
                              kMaxImageSide);
        }
    }
    if (slot.name.empty()) slot.name = slot.key;
    return slot;
}

Result<FeatureTap> read_tap(const tessera_feature *from) {
    if (from == nullptr) return make_error(Status::kInvalidArgument, "is NULL");
    const tessera_feature local = read_growable(from);
    FeatureTap tap{copy_text(local.name), copy_text(local.help), {}};
    if (tap.name.empty()) return make_error(Status::kInvalidArgument, "has no name");
    if (local.rank > TESSERA_MAX_RANK) {
        return make_error(Status::kInvalidArgument, "('{}') has rank {}; expected at most {}",
                          tap.name, local.rank, TESSERA_MAX_RANK);
    }
    for (std::uint32_t i = 0; i < local.rank; ++i) {
        if (local.shape[i] < 0) {
            return make_error(Status::kInvalidArgument, "('{}') has the dimension {}", tap.name,
                              local.shape[i]);
        }
        tap.shape.push_back(local.shape[i]);
    }
    return tap;
}

} // namespace

Generator::Generator(std::shared_ptr<Host> host, const FoundGenerator &found,
                     const tessera_generator *table)
    : host_(std::move(host)), library_(found.library), descriptor_(found.descriptor),
      table_(table) {}

Result<std::unique_ptr<Generator>> Generator::create(std::shared_ptr<Host> host,
                                                     const FoundGenerator &found,
                                                     const std::string &model) {
    if (!host->is_main_thread()) {
        return make_error(Status::kInvalidArgument,
                          "{}: create: expected the thread that made the host",
                          found.descriptor.id);
    }
    auto table = found.library->make_generator(found.descriptor.id, model);
    if (!table) return table.error();
    std::unique_ptr<Generator> generator(new Generator(std::move(host), found, *table));
    auto done = generator->check_table();
    if (done) done = generator->init();
    if (!done) return done.error();
    return generator;
}

Result<void> Generator::check_table() const {
    const tessera_generator &t = *table_;
    const std::pair<const char *, bool> members[] = {
        {"init", t.init != nullptr},         {"destroy", t.destroy != nullptr},
        {"activate", t.activate != nullptr}, {"deactivate", t.deactivate != nullptr},
        {"begin", t.begin != nullptr},       {"step", t.step != nullptr},
        {"end", t.end != nullptr},           {"get_extension", t.get_extension != nullptr},
    };
    for (const auto &[name, present] : members) {
        if (!present) {
            return make_error(Status::kInvalidArgument, "{}: create: its {} is NULL",
                              descriptor_.id, name);
        }
    }
    auto own = read_descriptor(t.descriptor);
    if (!own) {
        return make_error(own.error().status, "{}: create: {}", descriptor_.id,
                          own.error().message);
    }
    if (own->id != descriptor_.id) {
        return make_error(Status::kInvalidArgument, "{}: create: gave a generator with the id '{}'",
                          descriptor_.id, own->id);
    }
    return {};
}

Result<void> Generator::init() {
    (void)log::take_last_error();
    const tessera_status status = table_->init(table_);
    if (status != TESSERA_OK) {
        return plugin_error(descriptor_.id, "init", status, log::take_last_error());
    }
    state_ = State::kReady;
    auto params = Params::read(*table_);
    if (!params) {
        return make_error(params.error().status, "{}: {}", descriptor_.id, params.error().message);
    }
    params_ = std::move(*params);
    auto done = read_inputs();
    if (done) done = read_features();
    return done ? read_batch() : done;
}

Result<void> Generator::read_inputs() {
    const auto *const table =
        static_cast<const tessera_ext_inputs *>(table_->get_extension(table_, TESSERA_EXT_INPUTS));
    if (table == nullptr) return {};
    if (table->get_count == nullptr || table->get == nullptr) {
        return make_error(Status::kInvalidArgument, "{}: " TESSERA_EXT_INPUTS " lacks a function",
                          descriptor_.id);
    }
    const std::uint32_t count = table->get_count(table_);
    if (count > kMaxSlots) {
        return make_error(Status::kInvalidArgument,
                          "{}: claims {} input slots; expected at most {}", descriptor_.id, count,
                          kMaxSlots);
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        auto slot = read_slot(table->get(table_, i));
        if (!slot) {
            return make_error(slot.error().status, "{}: input slot {} {}", descriptor_.id, i,
                              slot.error().message);
        }
        inputs_.push_back(std::move(*slot));
    }
    return {};
}

Result<void> Generator::read_features() {
    const auto *const table = static_cast<const tessera_ext_features *>(
        table_->get_extension(table_, TESSERA_EXT_FEATURES));
    if (table == nullptr) return {};
    if (table->get_count == nullptr || table->get == nullptr) {
        return make_error(Status::kInvalidArgument, "{}: " TESSERA_EXT_FEATURES " lacks a function",
                          descriptor_.id);
    }
    const std::uint32_t count = table->get_count(table_);
    if (count > kMaxTaps) {
        return make_error(Status::kInvalidArgument,
                          "{}: claims {} feature taps; expected at most {}", descriptor_.id, count,
                          kMaxTaps);
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        auto tap = read_tap(table->get(table_, i));
        if (!tap) {
            return make_error(tap.error().status, "{}: feature tap {} {}", descriptor_.id, i,
                              tap.error().message);
        }
        features_.push_back(std::move(*tap));
    }
    return {};
}

Result<void> Generator::read_batch() {
    std::vector<std::string> keys;
    for (const InputSlot &slot : inputs_) keys.push_back(slot.key);
    auto batch = tessera::read_batch(*table_, params_, keys);
    if (!batch) {
        return make_error(batch.error().status, "{}: {}", descriptor_.id, batch.error().message);
    }
    batch_ = std::move(*batch);
    return {};
}

Result<void> Generator::check_call(std::string_view call, State expected) const {
    if (!host_->is_worker_thread()) {
        return make_error(Status::kInvalidArgument, "{}: {}: expected a worker thread",
                          descriptor_.id, call);
    }
    if (state_ != expected) {
        return make_error(Status::kInvalidArgument, "{}: {}: it is {}; expected {}", descriptor_.id,
                          call, state_name(state_), state_name(expected));
    }
    return {};
}

Result<void> Generator::activate(const tessera_activation &activation, const tessera_sink &sink) {
    if (auto checked = check_call("activate", State::kReady); !checked) return checked;
    (void)log::take_last_error();
    const tessera_status status = table_->activate(table_, &activation, &sink);
    if (status != TESSERA_OK) {
        return plugin_error(descriptor_.id, "activate", status, log::take_last_error());
    }
    state_ = State::kActive;
    return {};
}

void Generator::deactivate() {
    if (state_ != State::kActive || jobs_ != 0) return;
    table_->deactivate(table_);
    state_ = State::kReady;
}

Result<tessera_job *> Generator::begin(const tessera_request &request, const tessera_sink &sink) {
    if (auto checked = check_call("begin", State::kActive); !checked) return checked.error();
    tessera_job *job = nullptr;
    (void)log::take_last_error();
    const tessera_status status = table_->begin(table_, &request, &sink, &job);
    if (status != TESSERA_OK) {
        return plugin_error(descriptor_.id, "begin", status, log::take_last_error());
    }
    if (job == nullptr) {
        return make_error(Status::kFailed, "{}: begin: answered ok and gave no job",
                          descriptor_.id);
    }
    ++jobs_;
    return job;
}

Result<bool> Generator::step(tessera_job *job, std::uint32_t budget_us) {
    if (auto checked = check_call("step", State::kActive); !checked) return checked.error();
    if (jobs_ == 0) {
        return make_error(Status::kInvalidArgument, "{}: step: there is no job", descriptor_.id);
    }
    (void)log::take_last_error();
    const tessera_status status = table_->step(table_, job, budget_us);
    if (status == TESSERA_MORE) return true;
    if (status == TESSERA_OK) return false;
    return plugin_error(descriptor_.id, "step", status, log::take_last_error());
}

void Generator::end(tessera_job *job) {
    if (jobs_ == 0) return;
    table_->end(table_, job);
    --jobs_;
}

Generator::~Generator() {
    TESSERA_ASSERT(state_ == State::kMade || state_ == State::kReady);
    if (table_->destroy != nullptr) table_->destroy(table_);
}

} // namespace tessera
