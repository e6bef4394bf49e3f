// Which picture the panes show: live or recorded, latents, maps, features, the canvas.
#include "sandbox/app/app.hpp"

#include "assets/image_resize.hpp"

namespace tessera {
namespace {

FrameInfo info_of(const RunRecord &run, const RunStep &step) {
    return {.step = step.step,
            .total_steps = run.total_steps,
            .final = step.step == run.total_steps,
            .job = run.job};
}

} // namespace

// Of a recorded step: the picture, or its latents when those are looked at and were kept.
std::shared_ptr<const Image> App::picture_of(const RunRecord &run, const RunStep &step,
                                             LatentPainter &painter) const {
    if (!panel_.show_latents || step.latents == nullptr) return step.picture;
    return painter.paint(run, step, panel_.latents, step.picture->width, step.picture->height);
}

// Of the last step of a run: what is not finished yet says little.
bool App::wants_features(const RunStep *step) const {
    const RunRecord *const run = editor_->run();
    return panel_.show_features && control_->can_encode() && step != nullptr && run != nullptr &&
           run->ended && step == run->last_picture();
}

// They come some frames after they are asked for; until then the picture is as it is.
std::shared_ptr<const Image> App::features_over(const RunRecord &run, const RunStep &step) {
    const Encoded &encoded = control_->encoded();
    if (encoded.picture != step.picture) control_->encode(step.picture);
    if (encoded.picture != step.picture || encoded.dense == nullptr) return step.picture;
    if (painted_features_ == encoded.dense) return feature_picture_;
    constexpr float kShare = 0.65F; // enough of the picture to know the place
    RunRecord seen;
    seen.job = run.job;
    seen.ended = true;
    RunStep dense;
    dense.latents = encoded.dense;
    seen.steps.push_back(dense);
    const auto colours = feature_painter_.paint(seen, dense, LatentLook{}, step.picture->width,
                                                step.picture->height);
    painted_features_ = encoded.dense;
    feature_picture_ = std::make_shared<const Image>(laid_over(*step.picture, *colours, kShare));
    return feature_picture_;
}

// All that is looked at of a recorded step is on the host. The colours of latents are those of the
// run's last step.
bool App::fetch(const RunRecord &run, const RunStep &step) {
    const bool is_there = control_->fetch(run.job, step.step);
    const RunStep *const last = run.last_picture();
    if (!panel_.show_latents || !run.ended || last == nullptr) return is_there;
    return control_->fetch(run.job, last->step) && is_there;
}

// Live, the pane takes what the generator publishes; else what was recorded of the step that the
// editor wants.
Result<void> App::choose_picture() {
    if (canvas_->is_on()) return choose_canvas();
    const RunRecord *const run = editor_->run();
    const RunStep *const step = editor_->step();
    const bool has_record = step != nullptr && step->has_picture();
    const bool maps = has_record && panel_.material.is_active();
    const bool sees = has_record && !maps && !panel_.show_latents && wants_features(step);
    const bool live = editor_->is_live() && !panel_.show_latents && !maps && !sees;
    // Back to the live run: first what the pane missed of it.
    const bool catches_up = live && shows_record_ && has_record;
    if (live && !catches_up) {
        graphics_->pane->follow(graphics_->ring->current());
    } else if (has_record && !fetch(*run, *step)) {
        return choose_pinned_picture(); // what was shown stays until it is read
    } else if (maps) {
        if (auto chosen = choose_map(*run, *step); !chosen) return chosen;
    } else if (has_record) {
        const auto picture = sees ? features_over(*run, *step) : picture_of(*run, *step, painter_);
        auto shown = graphics_->pane->show(picture, info_of(*run, *step));
        if (!shown) return shown;
    }
    shows_record_ = !live;
    return choose_pinned_picture();
}

Result<void> App::choose_canvas() {
    shows_record_ = true; // and the live run comes back when the canvas goes
    canvas_transform_ = canvas_->transform();
    return graphics_->pane->show(canvas_->picture(), {});
}

MaterialRequest App::wanted_map(const RunRecord &run, const RunStep &step) const {
    return {.map = panel_.material.map,
            .settings = panel_.material.options.maps,
            .picture = step.picture,
            .latents = step.latents,
            .channel = panel_.material.channel,
            .info = info_of(run, step)};
}

// The newest map of this run that is there; the wanted one comes with a later frame. When it could
// not be made the picture is shown.
Result<void> App::choose_map(const RunRecord &run, const RunStep &step) {
    material_->want(wanted_map(run, step));
    const MaterialResult made = material_->newest();
    if (!made.error.empty()) return graphics_->pane->show(step.picture, info_of(run, step));
    const bool is_of_this_run = made.picture != nullptr && made.info.job == run.job;
    return graphics_->pane->show(is_of_this_run ? made.picture : nullptr, made.info);
}

bool App::has_wanted_map() {
    const RunRecord *const run = editor_->run();
    const RunStep *const step = editor_->step();
    if (step == nullptr || !step->has_picture()) return true;
    if (!fetch(*run, *step)) return false;
    if (wants_features(step) && !panel_.material.is_active() && !panel_.show_latents) {
        return control_->encoded().picture == step->picture && !control_->busy();
    }
    if (!panel_.material.is_active()) return true;
    material_->want(wanted_map(*run, *step));
    return !material_->busy();
}

void App::export_shown(const std::filesystem::path &folder) {
    export_material(panel_context(), folder);
}

Result<void> App::choose_pinned_picture() {
    const RunRecord *const run = editor_->pinned();
    const RunStep *const step = editor_->pinned_step();
    if (step == nullptr || !editor_->fetch_pinned()) return {};
    return graphics_->pinned->show(picture_of(*run, *step, pinned_painter_), info_of(*run, *step));
}

std::shared_ptr<const Image> App::shown_picture() const {
    if (canvas_->is_on()) {
        auto visible = std::make_shared<const Image>(canvas_->visible());
        return visible->pixels.empty() ? nullptr : visible;
    }
    const auto &shown = graphics_->pane->view().info();
    const RunRecord *const run = shown ? control_->history().find(shown->job) : nullptr;
    const RunStep *const step = run != nullptr ? run->find(shown->step) : nullptr;
    return step != nullptr ? step->picture : nullptr;
}

} // namespace tessera
