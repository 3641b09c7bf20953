//! The words on the pages, in Korean and English.
use crate::board::MESSAGE_CHARS_MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Korean,
    English,
}

/// Everything a page says. A field is missing in neither language, because the compiler asks.
pub struct Words {
    pub tag: &'static str,
    pub tagline: &'static str,
    pub ask_label: &'static str,
    pub ask_hint: &'static str,
    pub ask_button: &'static str,
    pub cheer_label: &'static str,
    pub cheer_hint: &'static str,
    pub cheer_button: &'static str,
    pub no_asks: &'static str,
    pub no_cheers: &'static str,
    pub back: &'static str,
    pub requests: &'static str,
    pub cheers: &'static str,
    pub not_found: (&'static str, &'static str),
    pub not_allowed: (&'static str, &'static str),
    pub too_large: (&'static str, &'static str),
    pub not_a_form: (&'static str, &'static str),
    pub unavailable: (&'static str, &'static str),
    pub empty: &'static str,
    pub footer: &'static str,
}

impl Language {
    /// The better liked of the two languages in an `Accept-Language` value (RFC 9110 §12.5.4); English when neither is named.
    pub fn of(accept: Option<&str>) -> Language {
        let (mut korean, mut english) = (0.0, 0.0);
        for range in accept.unwrap_or_default().split(',') {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let liking: f32 = parameters.trim().strip_prefix("q=").map_or(1.0, |q| q.parse().unwrap_or(0.0));
            match tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "ko" => korean = liking.max(korean),
                "en" => english = liking.max(english),
                _ => {}
            }
        }
        if korean > english { Language::Korean } else { Language::English }
    }

    pub fn words(self) -> &'static Words {
        match self {
            Language::Korean => &KOREAN,
            Language::English => &ENGLISH,
        }
    }

    /// `응원 1,024개 · 812곳에서` and its like.
    pub fn cheers_from(self, cheers: u64, addresses: u64) -> String {
        let (cheers_shown, addresses_shown) = (grouped(cheers), grouped(addresses));
        match self {
            Language::Korean => format!("응원 {cheers_shown}개 · {addresses_shown}곳에서"),
            Language::English => format!(
                "{cheers_shown} {} from {addresses_shown} {}",
                if cheers == 1 { "cheer" } else { "cheers" },
                if addresses == 1 { "place" } else { "places" }
            ),
        }
    }

    pub fn too_long(self, chars: usize) -> String {
        match self {
            Language::Korean => format!("{MESSAGE_CHARS_MAX}자까지 쓸 수 있어요. 지금은 {chars}자예요."),
            Language::English => format!("Up to {MESSAGE_CHARS_MAX} characters, please. This one has {chars}."),
        }
    }
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

static KOREAN: Words = Words {
    tag: "ko",
    tagline: "부탁을 남기면, 이웃이 응원해 드려요.",
    ask_label: "무엇을 부탁하고 싶나요?",
    ask_hint: "예: 내일 면접이에요. 응원 한마디 부탁해요!",
    ask_button: "부탁하기",
    cheer_label: "응원 한마디",
    cheer_hint: "예: 잘될 거예요!",
    cheer_button: "응원하기",
    no_asks: "아직 부탁이 없어요. 첫 번째로 남겨 보세요.",
    no_cheers: "아직 응원이 없어요. 첫 응원을 보내 주세요.",
    back: "모든 부탁",
    requests: "부탁",
    cheers: "응원",
    not_found: ("여기에는 아무것도 없어요", "주소가 바뀌었거나, 부탁이 지워졌을 수 있어요."),
    not_allowed: ("그렇게는 열 수 없어요", "이 주소는 글을 보낼 때만 써요."),
    too_large: ("글이 너무 커요", "조금만 짧게 써 주세요."),
    not_a_form: ("알아들을 수 없는 글이에요", "이 페이지의 입력창으로 다시 보내 주세요."),
    unavailable: ("잠시 쉬고 있어요", "데이터베이스가 대답하지 않아요. 잠시 뒤에 다시 열어 주세요."),
    empty: "한 글자라도 적어 주세요.",
    footer: "이웃끼리 돌아가며 돕는 품앗이처럼.",
};

static ENGLISH: Words = Words {
    tag: "en",
    tagline: "Leave a request, and neighbours cheer you on.",
    ask_label: "What would you like to ask for?",
    ask_hint: "For example: interview tomorrow, wish me luck!",
    ask_button: "Ask",
    cheer_label: "A word of cheer",
    cheer_hint: "For example: you can do it!",
    cheer_button: "Cheer",
    no_asks: "No requests yet. Be the first.",
    no_cheers: "No cheers yet. Send the first one.",
    back: "All requests",
    requests: "Requests",
    cheers: "Cheers",
    not_found: ("There is nothing here", "The address may have changed, or the request was taken down."),
    not_allowed: ("That does not open this way", "This address only takes messages."),
    too_large: ("That is too large", "A little shorter, please."),
    not_a_form: ("That was not a message we can read", "Please send it with the form on the page."),
    unavailable: ("Taking a short rest", "The database does not answer. Please try again in a moment."),
    empty: "Please write something first.",
    footer: "Neighbours taking turns at each other's work.",
};

#[cfg(test)]
mod tests;
