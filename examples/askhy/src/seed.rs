//! Fills an empty board with asks and cheers: made up, but the same every time.
use std::fmt::Write;

use mysql_async::{Conn, TxOpts, prelude::*};

use crate::{Error, board::create_tables, settings::Database};

/// Makes the tables if they are missing and fills them, unless there is an ask already; says whether it did.
///
/// One transaction, multi-row INSERTs: a fill that was interrupted leaves nothing behind and can simply start again.
/// `progress` is called with the rows written so far and the rows there will be.
pub async fn seed(database: &Database, asks: u32, cheers: u32, mut progress: impl FnMut(u64, u64)) -> Result<bool, Error> {
    let mut connection = Conn::new(database.options()).await?;
    create_tables(&mut connection).await?;
    let filled = connection.query_first::<u32, _>("SELECT id FROM ask LIMIT 1").await?.is_some();
    if !filled {
        let mut dice = Dice(0x0a5c_4eed);
        let (mut done, total) = (0, u64::from(asks) + u64::from(cheers));
        let mut transaction = connection.start_transaction(TxOpts::default()).await?;
        for (insert, rows) in inserts(asks, cheers, &mut dice) {
            transaction.query_drop(insert).await?;
            done += rows;
            progress(done, total);
        }
        transaction.commit().await?;
    }
    connection.disconnect().await?;
    Ok(!filled)
}

// === statements ===

/// Rows per INSERT: about 40 KB of text, far below any server's largest packet.
const ROWS_PER_INSERT: u32 = 500;

/// The statements and how many rows each writes.
fn inserts(asks: u32, cheers: u32, dice: &mut Dice) -> impl Iterator<Item = (String, u64)> {
    let addresses: Vec<String> = (0..(cheers / 8).clamp(200, 20_000)).map(|_| dice.address()).collect();
    let popularity = Popularity::new(asks, dice);
    let batches = |rows: u32| (0..rows).step_by(ROWS_PER_INSERT as usize).map(move |first| first..rows.min(first + ROWS_PER_INSERT));
    let kinds = batches(asks).map(|rows| (true, rows)).chain(batches(if asks == 0 { 0 } else { cheers }).map(|rows| (false, rows)));
    kinds.map(move |(of_asks, rows)| {
        let count = u64::from(rows.end - rows.start);
        let mut text = String::from(if of_asks {
            "INSERT INTO ask (id, message, ip_address, register_time) VALUES "
        } else {
            "INSERT INTO cheer (ask_id, message, ip_address, register_time) VALUES "
        });
        for row in rows {
            let separator = if text.ends_with(')') { "," } else { "" };
            let address = &addresses[dice.below(addresses.len())];
            let (id, message, time) = match of_asks {
                true => (row + 1, ask_message(row, dice), moment(row, asks, FIRST_ASK_DAY, ASK_DAYS)),
                false => (popularity.choose(dice), cheer_message(dice), moment(row, cheers, FIRST_ASK_DAY + ASK_DAYS, CHEER_DAYS)),
            };
            // The texts below hold neither quotes nor backslashes (a test looks), so they are literals as they are.
            let _ = write!(text, "{separator}({id},'{message}','{address}','{time}')");
        }
        (text, count)
    })
}

/// Some asks get many cheers and most get a few: weights 1/(rank + 4), in an order of their own.
struct Popularity {
    /// Running sums of the weights, scaled to whole numbers.
    sums: Vec<u64>,
    ids: Vec<u32>,
}

impl Popularity {
    fn new(asks: u32, dice: &mut Dice) -> Popularity {
        let mut ids: Vec<u32> = (1..=asks).collect();
        (1..ids.len()).rev().for_each(|last| ids.swap(last, dice.below(last + 1)));
        let sums = (0..u64::from(asks)).scan(0, |sum, rank| {
            *sum += 1_000_000 / (rank + 4);
            Some(*sum)
        });
        Popularity { sums: sums.collect(), ids }
    }

    fn choose(&self, dice: &mut Dice) -> u32 {
        let point = dice.next() % self.sums.last().copied().unwrap_or(1).max(1);
        self.ids[self.sums.partition_point(|sum| *sum <= point)]
    }
}

/// Day numbers of the spring of 2026: asks are spread over the first part of it, cheers over the rest.
const FIRST_ASK_DAY: u32 = 0;
const ASK_DAYS: u32 = 20;
const CHEER_DAYS: u32 = 40;

/// The time of row `row` of `rows`, evenly spread over `days` from 2026-03-01 plus `first_day`.
fn moment(row: u32, rows: u32, first_day: u32, days: u32) -> String {
    let second = u64::from(row) * u64::from(days) * 86_400 / u64::from(rows.max(1)) + u64::from(first_day) * 86_400;
    let (mut day, second) = ((second / 86_400) as u32, second % 86_400);
    let mut month = 3;
    for length in [31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    format!("2026-{month:02}-{:02} {:02}:{:02}:{:02}", day + 1, second / 3600, second / 60 % 60, second % 60)
}

/// splitmix64: small, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; `bound` is at least 1.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.below(from.len())]
    }

    /// Mostly IPv4, one in sixteen IPv6.
    fn address(&mut self) -> String {
        let bits = self.next();
        if bits.is_multiple_of(16) {
            format!("2001:{:x}:{:x}::{:x}", (bits >> 16) as u16 | 1, (bits >> 32) as u16 | 1, (bits >> 48) as u16 | 1)
        } else {
            format!("{}.{}.{}.{}", 1 + (bits >> 8) % 223, (bits >> 16) as u8, (bits >> 24) as u8, 1 + (bits >> 32) % 254)
        }
    }
}

// === texts ===

/// Each of the texts once, then pairs of one with a closing, so that more asks than texts still read differently.
fn ask_message(row: u32, dice: &mut Dice) -> String {
    let (start, closing) = match row as usize {
        row if row < ASKS.len() => (ASKS[row], ""),
        row => (ASKS[row % ASKS.len()], dice.pick(&ASK_CLOSINGS)),
    };
    format!("{start}{closing}")
}

fn cheer_message(dice: &mut Dice) -> String {
    let korean = !dice.below(5).is_multiple_of(4);
    let (starts, closings): (&[&str], &[&str]) =
        if korean { (&KOREAN_CHEERS, &KOREAN_CLOSINGS) } else { (&ENGLISH_CHEERS, &ENGLISH_CLOSINGS) };
    format!("{}{}", dice.pick(starts), dice.pick(closings))
}

const ASKS: [&str; 50] = [
    "내일 첫 출근이에요. 떨지 않게 응원 부탁해요!",
    "우리 고양이가 수술을 받아요. 무사히 깨어나길 빌어 주세요.",
    "토요일에 마라톤 첫 완주에 도전합니다. 힘을 주세요!",
    "My thesis defence is on Thursday. Please send some courage.",
    "다음 주에 운전면허 시험을 봐요. 이번엔 꼭 붙게 해 주세요.",
    "3년 준비한 가게를 엽니다. 손님이 한 분이라도 오시길!",
    "금연 열흘째예요. 오늘 밤만 넘기게 도와주세요.",
    "할머니께서 무릎 수술을 앞두고 계세요. 응원 한마디 부탁드려요.",
    "We move to a new city next month and know nobody there. Wish us friends.",
    "우리 반 합창 대회가 금요일이에요. 목소리가 잘 나오게 해 주세요.",
    "취업 준비 2년째, 내일 최종 면접입니다. 기운을 나눠 주세요.",
    "처음으로 김장을 혼자 해 봐요. 맛있게 되길 빌어 주세요!",
    "딸이 자전거를 배우고 있어요. 넘어져도 웃게 응원해 주세요.",
    "I am learning Korean and tomorrow I order coffee on my own. Cheer for me!",
    "밤샘 근무 중인 간호사입니다. 따뜻한 말 한마디 부탁해요.",
    "군대 간 동생에게 힘이 되는 말을 남겨 주세요.",
    "오늘 헬스장 등록했어요. 석 달은 다니게 응원해 주세요.",
    "아버지와 오랜만에 여행을 가요. 좋은 날씨를 빌어 주세요.",
    "고3입니다. 수능까지 지치지 않게 응원해 주세요.",
    "Our little league team has lost nine games in a row. One win, please.",
    "첫 앱을 스토어에 올렸어요. 심사에 통과하길!",
    "화분에 심은 토마토가 시들해요. 살아나라고 말해 주세요.",
    "부모님께 처음으로 요리를 해 드려요. 타지 않기를!",
    "이직하고 첫 발표를 맡았어요. 또박또박 말할 수 있게 도와주세요.",
    "길 잃은 강아지를 임시로 돌보고 있어요. 가족을 찾게 빌어 주세요.",
    "I promised myself to read one book a month. Keep me going!",
    "아이가 유치원에 처음 가는 날이에요. 울지 않게 응원해 주세요.",
    "기타를 시작한 지 한 달, F 코드가 너무 어려워요. 힘내라고 해 주세요.",
    "내일 고백하려고 해요. 용기를 나눠 주세요.",
    "마을 도서관에서 이야기 시간을 맡았어요. 아이들이 좋아하길!",
    "헌혈 50번째예요. 응원해 주시면 더 힘이 날 것 같아요.",
    "My grandmother turns ninety. Leave her a good word!",
    "논문 심사 답변서를 쓰는 중이에요. 끝까지 쓰게 도와주세요.",
    "오늘부터 일기를 써요. 작심삼일이 아니게 응원해 주세요.",
    "새벽 배송 기사입니다. 눈길이 미끄럽지 않게 빌어 주세요.",
    "재활 운동 6개월째예요. 다시 뛰는 날까지 응원 부탁해요.",
    "동네 빵집을 이어받았어요. 할아버지 맛을 지킬 수 있게!",
    "Night before the big release. May the tests stay green.",
    "혼자 제주도 한 바퀴를 걷고 있어요. 발이 버텨 주길!",
    "수영을 배우기 시작했어요. 물이 무섭지 않게 응원해 주세요.",
    "결혼식 축가를 부르게 됐어요. 삑사리 안 나게 빌어 주세요.",
    "고향 친구들과 밴드를 만들었어요. 첫 공연에 힘을 주세요.",
    "엄마가 한글을 배우기 시작하셨어요. 칭찬 한마디 부탁드려요.",
    "First day as a volunteer firefighter. Wish me steady hands.",
    "시골로 이사해서 농사를 시작해요. 첫 수확까지 응원해 주세요.",
    "다이어트 중인데 야식이 보여요. 말려 주세요!",
    "오랜 친구와 다퉜어요. 먼저 사과할 용기를 주세요.",
    "입양한 강아지가 마음을 열길 기다리고 있어요. 함께 기다려 주세요.",
    "I start chemotherapy on Monday. Company is welcome here.",
    "작은 공방을 열어요. 오래오래 할 수 있게 응원해 주세요.",
];

const ASK_CLOSINGS: [&str; 6] =
    [" 고맙습니다!", " 다시 한번 부탁드려요.", " 두 번째 도전이에요.", " Thank you all!", " 여러분만 믿어요.", " One more time!"];

const KOREAN_CHEERS: [&str; 24] = [
    "힘내세요",
    "잘될 거예요",
    "응원합니다",
    "할 수 있어요",
    "마음을 보태요",
    "좋은 소식 기다릴게요",
    "저도 같은 처지였는데 다 지나가더라고요",
    "오늘도 수고 많았어요",
    "멀리서 박수 보냅니다",
    "당신 편이 여기 있어요",
    "천천히 가도 괜찮아요",
    "기운이 닿기를 바랍니다",
    "꼭 이루어질 거예요",
    "지금처럼만 하면 돼요",
    "밥 잘 챙겨 드시고요",
    "제 행운 조금 나눠 드릴게요",
    "걱정은 반으로, 용기는 두 배로",
    "우리 집 고양이도 응원한대요",
    "화이팅",
    "두 손 모아 빌어요",
    "한 걸음씩 가요",
    "정말 멋져요",
    "결과보다 마음이 먼저예요",
    "끝나고 꼭 후기 남겨 주세요",
];

const KOREAN_CLOSINGS: [&str; 10] = ["!", "!!", ".", " :)", " ^^", "~", " 화이팅!", " 아자아자!", " 냥!", " 파이팅입니다."];

const ENGLISH_CHEERS: [&str; 16] = [
    "You can do it",
    "Sending you courage",
    "Rooting for you",
    "One step at a time",
    "We are with you",
    "Been there, it gets better",
    "Breathe, then go",
    "Proud of you already",
    "Good luck from far away",
    "Keep going",
    "It will work out",
    "Fingers crossed",
    "Take my lucky charm along",
    "Tell us how it went",
    "My whole family cheers",
    "Stay strong",
];

const ENGLISH_CLOSINGS: [&str; 6] = ["!", ".", " :)", "!!", ", friend.", ", neighbour!"];

#[cfg(test)]
mod tests;
