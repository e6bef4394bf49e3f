// Parameter descriptions and values.
#include "host/generator/params.hpp"
#include "tests/unit/host/host_fixture.hpp"

#include <tessera/sdk/params.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ParamsTest : public testing::Test {
  protected:
    void SetUp() override {
        host_ = test::make_host();
        auto generator = test::make_generator(host_, "test.good");
        ASSERT_TRUE(generator) << generator.error().message;
        generator_ = std::move(*generator);
        params_ = generator_->params();
    }
    [[nodiscard]] const Param &param(const char *key) const { return *params_.find(key); }

    std::shared_ptr<Host> host_;
    std::unique_ptr<Generator> generator_;
    Params params_;
};

TEST_F(ParamsTest, CopiesDescriptionsAndStartsWithInitialValues) {
    ASSERT_EQ(params_.descriptions().size(), 6U);
    EXPECT_EQ(param("steps").help, "How many.");
    EXPECT_EQ(param("steps").step, 1); // of a whole number
    EXPECT_EQ(param("class").max, 2);
    EXPECT_THAT(param("class").labels, ElementsAre("bark", "sand", "none"));
    EXPECT_EQ(param("flip").max, 1);
    EXPECT_EQ(params_.value_of("steps", 0), 4);
    EXPECT_EQ(params_.value_of("nothing", -1), -1);
    EXPECT_EQ(params_.find(99U), nullptr);
}

TEST_F(ParamsTest, TakesOverWhatWasChangedAndBothKnow) {
    Params other = generator_->params();
    EXPECT_TRUE(other.set_text("steps", "7"));
    EXPECT_TRUE(other.set_text("class", "sand"));
    EXPECT_TRUE(params_.set_text("strength", "1.5"));
    params_.take_over(other);
    EXPECT_EQ(params_.value_of("steps", 0), 7);
    EXPECT_EQ(params_.format(param("class")), "sand");
    EXPECT_EQ(params_.value_of("strength", 0), 1.5) << "nobody changed it there";
}

TEST_F(ParamsTest, ClampsAndSteps) {
    const Param &strength = param("strength"); // 0 to 2 in steps of 0.25
    EXPECT_EQ(conform(strength, 0.3), 0.25);
    EXPECT_EQ(conform(strength, 0.4), 0.5);
    EXPECT_EQ(conform(strength, -7), 0);
    EXPECT_EQ(conform(strength, 1e300), 2);
    EXPECT_EQ(conform(strength, std::numeric_limits<double>::infinity()), 2);
    EXPECT_EQ(conform(strength, std::nan("")), 1);
    EXPECT_EQ(conform(param("steps"), 3.6), 4);
    Param odd = strength;
    odd.step = 0.7; // 0, 0.7, 1.4: max itself is not one of them
    EXPECT_EQ(conform(odd, 2), 1.4);
    odd.step = 0;
    EXPECT_EQ(conform(odd, 1.234), 1.234);
}

TEST_F(ParamsTest, SetSaysWhetherAnythingChanged) {
    const std::uint32_t id = param("steps").id;
    EXPECT_TRUE(*params_.set(id, 8));
    EXPECT_FALSE(*params_.set(id, 8.2));
    EXPECT_FALSE(params_.set(1234, 1));
    params_.reset();
    EXPECT_EQ(params_.value_of("steps", 0), 4);
}

TEST_F(ParamsTest, ReadsTexts) {
    EXPECT_TRUE(params_.set_text("steps", "12"));
    EXPECT_TRUE(params_.set_text("class", "SAND"));
    EXPECT_EQ(params_.value_of("class", -1), 1);
    EXPECT_TRUE(params_.set_text("class", "0"));
    EXPECT_EQ(params_.value_of("class", -1), 0);
    EXPECT_TRUE(params_.set_text("flip", "on"));
    EXPECT_EQ(params_.value_of("flip", -1), 1);
    EXPECT_TRUE(params_.set_text("flip", "0"));
    EXPECT_TRUE(params_.set_text("strength", "1.5"));
    EXPECT_EQ(params_.value_of("strength", -1), 1.5);
}

TEST_F(ParamsTest, WrongTextsNameKeyValueAndWhatIsAllowed) {
    const std::pair<const char *, const char *> wrong[] = {{"steps", "0"},
                                                           {"steps", "-3"},
                                                           {"steps", "1.5"},
                                                           {"steps", "many"},
                                                           {"steps", ""},
                                                           {"steps", "12x"},
                                                           {"steps", "1e300"},
                                                           {"class", "wood"},
                                                           {"class", "3"},
                                                           {"class", "-1"},
                                                           {"flip", "perhaps"},
                                                           {"flip", "2"},
                                                           {"strength", "3"},
                                                           {"strength", "nan"},
                                                           {"strength", "inf"},
                                                           {"strength", "0.3"},
                                                           {"strength", "0x1"},
                                                           {"steps", " 4"},
                                                           {"steps", "99999999999999999999"}};
    for (const auto &[key, text] : wrong) {
        const auto set = params_.set_text(key, text);
        ASSERT_FALSE(set) << key << " " << text;
        EXPECT_EQ(set.error().status, Status::kInvalidArgument);
        EXPECT_THAT(set.error().message, HasSubstr(key));
        EXPECT_THAT(set.error().message, HasSubstr("expected"));
    }
    EXPECT_THAT(params_.set_text("class", "wood").error().message, HasSubstr("bark, sand, none"));
    EXPECT_THAT(params_.set_text("strength", "0.3").error().message,
                HasSubstr("a number from 0 to 2 in steps of 0.25"));
    EXPECT_THAT(params_.set_text("colour", "1").error().message, HasSubstr("steps, strength"));
    EXPECT_EQ(params_.value_of("steps", 0), 4); // nothing changed
}

TEST_F(ParamsTest, SnapshotsHaveTheTypeOfTheDescription) {
    EXPECT_TRUE(params_.set_text("class", "sand"));
    EXPECT_TRUE(*params_.set_text("note", "two words"));
    const ParamSnapshot snapshot = params_.snapshot();
    params_.reset(); // a snapshot stays
    const auto &values = snapshot.values;
    ASSERT_EQ(values.size(), 6U);
    EXPECT_STREQ(values[5].as.text, "two words");
    EXPECT_EQ(values[0].as.integer, 4);
    EXPECT_EQ(values[1].as.number, 1.0);
    EXPECT_EQ(values[3].type, static_cast<std::uint32_t>(TESSERA_PARAM_CHOICE));
    EXPECT_EQ(values[3].as.integer, 1);
}

// A generator of no more than its parameters, whole numbers.
class Described {
  public:
    explicit Described(const std::vector<sdk::IntParam> &all) {
        for (const sdk::IntParam &param : all) params_.add(param);
        table_.get_count = [](const tessera_generator *self) { return of(self).params_.size(); };
        table_.get = [](const tessera_generator *self, std::uint32_t index) {
            return of(self).params_.get(index);
        };
        generator_.plugin_data = this;
        generator_.get_extension = [](const tessera_generator *self,
                                      const char *id) -> const void * {
            return std::string_view(id) == TESSERA_EXT_PARAMS ? &of(self).table_ : nullptr;
        };
    }
    [[nodiscard]] Result<Params> read() const { return Params::read(generator_); }

  private:
    static const Described &of(const tessera_generator *self) {
        return *static_cast<const Described *>(self->plugin_data);
    }
    sdk::ParamList params_;
    tessera_ext_params table_{};
    tessera_generator generator_{};
};

TEST(CanvasParamsTest, AnotherValueCountsForWindowsOfACanvas) {
    auto params = Described({{.id = 1, .key = "canvas_size", .name = "Of no other", .initial = 5},
                             {.id = 2, .key = "steps", .name = "Steps", .initial = 8},
                             {.id = 3, .key = "canvas_steps", .name = "Canvas", .initial = 3}})
                      .read();
    ASSERT_TRUE(params) << params.error().message;
    const Param &steps = *params->find("steps"), &own = *params->find("canvas_steps");
    EXPECT_EQ(params->canvas_of(steps), &own);
    EXPECT_EQ(params->canvas_of(own), nullptr);
    EXPECT_TRUE(params->is_of_canvas(own));
    EXPECT_FALSE(params->is_of_canvas(steps));
    EXPECT_FALSE(params->is_of_canvas(*params->find("canvas_size")));
    const auto numbers = [](const ParamSnapshot &snapshot) {
        std::vector<std::int64_t> all;
        for (const tessera_value &value : snapshot.values) all.push_back(value.as.integer);
        return all;
    };
    EXPECT_THAT(numbers(params->snapshot()), ElementsAre(5, 8, 3));
    EXPECT_THAT(numbers(params->snapshot(/*canvas=*/true)), ElementsAre(5, 3, 3));
    EXPECT_TRUE(*params->set(own.id, 4));
    EXPECT_THAT(numbers(params->snapshot(/*canvas=*/true)), ElementsAre(5, 4, 4));
    EXPECT_THAT(numbers(params->snapshot()), ElementsAre(5, 8, 4));
}

TEST(CanvasParamsTest, ACounterpartOfOtherLimitsIsRefused) {
    const auto params =
        Described({{.id = 1, .key = "steps", .name = "Steps", .initial = 3},
                   {.id = 2, .key = "canvas_steps", .name = "Canvas", .max = 8, .initial = 3}})
            .read();
    ASSERT_FALSE(params);
    EXPECT_THAT(params.error().message, HasSubstr("'canvas_steps' is not of the type and limits"));
}

TEST_F(ParamsTest, ATextIsAnyTextUpToItsLength) {
    EXPECT_EQ(params_.format(param("note")), "none");
    EXPECT_TRUE(*params_.set_text("note", "a \"b\" \xC3\xA9"));
    EXPECT_FALSE(*params_.set_text("note", "a \"b\" \xC3\xA9"));
    EXPECT_EQ(params_.format(param("note")), "a \"b\" \xC3\xA9");
    EXPECT_FALSE(params_.is_initial(param("note")));
    EXPECT_TRUE(params_.set_text("note", std::string(TESSERA_PARAM_TEXT_BYTES, 'x')));
    const auto longer = params_.set_text("note", std::string(TESSERA_PARAM_TEXT_BYTES + 1, 'x'));
    ASSERT_FALSE(longer);
    EXPECT_THAT(longer.error().message,
                HasSubstr("note is a text of 4097 bytes; expected at most"));
    const auto cut = params_.set_text("note", std::string("a\0b", 3));
    ASSERT_FALSE(cut);
    EXPECT_THAT(cut.error().message, HasSubstr("with a 0"));
    const auto number = params_.set(param("note").id, 3);
    ASSERT_FALSE(number);
    EXPECT_THAT(number.error().message, HasSubstr("note is 3; expected a text"));
    params_.reset();
    EXPECT_TRUE(params_.is_initial(param("note")));
}

TEST_F(ParamsTest, JsonGoesThereAndBack) {
    EXPECT_TRUE(params_.set_text("note", "kept"));
    EXPECT_TRUE(params_.set_text("class", "sand"));
    EXPECT_TRUE(params_.set_text("flip", "on"));
    EXPECT_TRUE(params_.set_text("strength", "0.25"));
    const std::string json = params_.to_json();
    EXPECT_THAT(json, HasSubstr("\"index\": 1"));
    EXPECT_THAT(json, HasSubstr("\"name\": \"sand\""));
    params_.reset();
    const auto unused = params_.load_json(json);
    ASSERT_TRUE(unused);
    EXPECT_TRUE(unused->empty());
    EXPECT_EQ(params_.format(param("note")), "kept");
    EXPECT_EQ(params_.value_of("class", -1), 1);
    EXPECT_EQ(params_.value_of("flip", -1), 1);
    EXPECT_EQ(params_.value_of("strength", -1), 0.25);
}

TEST_F(ParamsTest, LoadingNamesTheKeysThatItDoesNotKnow) {
    const auto unused = params_.load_json(R"({"steps": 5, "colour": 1, "class": 1})");
    ASSERT_TRUE(unused);
    EXPECT_THAT(*unused, testing::ElementsAre("colour"));
    EXPECT_EQ(params_.value_of("steps", 0), 5);
    EXPECT_EQ(params_.value_of("class", 0), 1);
    EXPECT_FALSE(params_.load_json("[1]"));
    EXPECT_FALSE(params_.load_json("{"));
    EXPECT_FALSE(params_.load_json(std::string(100'000, '[')));
}

TEST_F(ParamsTest, LoadingAValueThatCannotBeUsedChangesNothing) {
    const double steps = params_.value_of("steps", 0);
    const std::pair<const char *, const char *> wrong[] = {
        {R"({"steps": 9, "class": "wood"})", "class is 'wood'; expected one of bark, sand, none"},
        {R"({"steps": 9, "class": 17})", "class is '17'"},
        {R"({"steps": 9, "class": {"index": 1, "name": "wood"}})", "class is 'wood'"},
        {R"({"steps": 9, "class": {"index": 1}})", "class is '{...}'"},
        {R"({"steps": 9, "class": true})", "class is 'true'"},
        {R"({"strength": 7})", "strength is '7'; expected a number from"},
        {R"({"strength": [1]})", "strength is '[...]'"},
        {R"({"strength": null})", "strength is 'null'"},
        {R"({"steps": 1.5})", "steps is '1.5'; expected a whole number"},
        {R"({"flip": 7})", "flip is '7'; expected on or off"},
    };
    for (const auto &[json, message] : wrong) {
        const auto loaded = params_.load_json(json);
        ASSERT_FALSE(loaded) << json;
        EXPECT_THAT(loaded.error().message, HasSubstr(message));
    }
    EXPECT_EQ(params_.value_of("steps", 0), steps);
}

TEST_F(ParamsTest, AChoiceIsFoundByItsNameWhereTheIndexHasMoved) {
    ASSERT_TRUE(params_.load_json(R"({"class": {"index": 0, "name": "sand"}})"));
    EXPECT_EQ(params_.value_of("class", 0), 1);
    ASSERT_TRUE(params_.load_json(R"({"class": {"index": 99, "name": "bark"}})"));
    EXPECT_EQ(params_.value_of("class", 9), 0);
}

TEST(ParamLabels, OneNameOfSeveralIsRefusedWithTheCandidates) {
    Param param;
    param.key = "class";
    param.type = ParamType::kChoice;
    param.labels = {"crane", "owl", "crane", "Owl", "7"};
    param.max = 4;
    param.step = 1;
    const auto crane = parse_value(param, "crane");
    ASSERT_FALSE(crane);
    EXPECT_THAT(crane.error().message, HasSubstr("the name of several"));
    EXPECT_THAT(crane.error().message, HasSubstr("0 (crane), 2 (crane)"));
    EXPECT_FALSE(parse_value(param, "CRANE"));
    EXPECT_FALSE(parse_value(param, "OWL"));
    EXPECT_EQ(*parse_value(param, "owl"), 1);
    EXPECT_EQ(*parse_value(param, "Owl"), 3);
    EXPECT_EQ(*parse_value(param, "2"), 2);
    EXPECT_EQ(*parse_value(param, "7"), 4) << "a label that is a number";
    EXPECT_EQ(*parse_value(param, "003"), 3) << "decimal";
}

TEST_F(ParamsTest, ValuesForPeople) {
    EXPECT_EQ(format_value(param("class"), 1), "sand");
    EXPECT_EQ(format_value(param("flip"), 1), "on");
    EXPECT_EQ(format_value(param("steps"), 64), "64");
    EXPECT_EQ(format_value(param("strength"), 0.85), "0.85");
}

} // namespace
} // namespace tessera
