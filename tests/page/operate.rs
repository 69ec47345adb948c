//! Finding one's way: keyboard, search, filter, narrow and dark.

use crate::browser::{ENTER, ESCAPE, TAB};
use crate::content::{assert_calm, page};
use crate::lab::Arbiter;

#[test]
fn everything_can_be_done_from_the_keyboard() {
    let arbiter = Arbiter::start();
    let _nodes = ["berlin", "hamburg", "rom"].map(|name| arbiter.pair(name.as_bytes()));
    let mut split = arbiter.pair(b"zurich");
    arbiter.split(&mut split, 8);
    arbiter.settled("zurich");
    let browser = page(&arbiter);
    let names = || browser.texts("#list .name");
    // The worst first.
    assert_eq!(names(), ["zurich", "berlin", "hamburg", "rom"]);
    browser.keys("/");
    assert_eq!(browser.run("return document.activeElement.id"), "search");
    browser.keys("BER");
    browser.until("document.querySelectorAll('#list > li').length === 1");
    assert_eq!(names(), ["berlin"]);
    browser.keys(ESCAPE);
    browser.until("document.querySelectorAll('#list > li').length === 4");
    browser.keys("jjk");
    let focused = "document.activeElement.closest('li').dataset.key";
    assert_eq!(browser.run(&format!("return {focused}")), "zurich");
    browser.keys("j");
    browser.keys(ENTER);
    browser.until("document.querySelector('[data-key=berlin] .drawing')");
    assert_eq!(browser.run("return location.hash"), "#berlin");
    // The focus is seen, and stays where it is when the page looks again.
    let outline = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.run(outline), "solid");
    let _new = arbiter.pair(b"new");
    browser.until("document.querySelectorAll('#list > li').length === 5");
    assert_eq!(browser.run(&format!("return {focused}")), "berlin");
    // Filters are buttons that Tab reaches.
    browser.run("document.activeElement.blur(); window.scrollTo(0, 0)");
    browser.run("document.querySelector('#filters button').focus()");
    browser.keys(TAB);
    browser.keys(TAB);
    browser.keys(ENTER);
    browser.until("document.querySelectorAll('#list > li').length === 1");
    assert_eq!(names(), ["zurich"]);
    let pressed = browser.texts("#filters [aria-pressed=true]").concat();
    assert_eq!(
        pressed.split_whitespace().collect::<Vec<_>>(),
        ["Degraded", "1"]
    );
    browser.keys(ESCAPE);
    browser.until("document.querySelectorAll('#list > li').length === 5");
    browser.keys("/");
    browser.keys("nothing like it");
    browser.until_text("None of 5 clusters fits.");
    assert_calm(&browser);
}

#[test]
fn an_address_leads_to_its_cluster() {
    let arbiter = Arbiter::start();
    let _nodes = ["a", "b/c"].map(|name| arbiter.pair(name.as_bytes()));
    let browser = page(&arbiter);
    browser.open(&format!("http://{}/#b%2Fc", arbiter.http));
    browser.until("document.querySelector('[data-key=\"b%2Fc\"] .drawing')");
    assert_eq!(
        browser.run("return document.querySelectorAll('.drawing').length"),
        1
    );
    assert_calm(&browser);
}

#[test]
fn a_phone_in_the_dark_shows_all_of_it() {
    let arbiter = Arbiter::start();
    let mut split = arbiter.pair(b"site-rom");
    let _other = arbiter.pair(b"site-berlin");
    arbiter.split(&mut split, 8);
    arbiter.settled("site-rom");
    let browser = page(&arbiter);
    browser.click("#list summary");
    browser.until("document.querySelector('.drawing')");
    let colour = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(colour);
    browser.prefers("prefers-color-scheme", "dark");
    assert_ne!(browser.run(colour), light);
    browser.picture("dark");
    for width in [360, 320] {
        browser.size(width, 740);
        browser.assert_fits();
    }
    browser.size(360, 740);
    browser.picture("phone-dark");
    browser.prefers("prefers-color-scheme", "light");
    browser.picture("phone");
    browser.prefers("prefers-reduced-motion", "reduce");
    let animation = "return getComputedStyle(document.querySelector('#list > li')).animationName";
    assert_eq!(browser.run(animation), "none");
    // Every word can be told from what is behind it.
    for scheme in ["light", "dark"] {
        browser.prefers("prefers-color-scheme", scheme);
        let poor = browser.run(CONTRAST);
        assert_eq!(poor, serde_json::json!([]), "{scheme}");
    }
    assert_calm(&browser);
}

/// Texts with less contrast than 4.5 to 1 (WCAG 2.2, 1.4.3).
const CONTRAST: &str = r"
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return 'rgb(255,255,255)';
  };
  return [...document.querySelectorAll('body *:not(svg *)')]
    .filter((e) => e.checkVisibility() && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((e) => {
      const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => b - a);
      return [(a + .05) / (b + .05), e.className || e.nodeName, e.textContent.slice(0, 30)];
    })
    .filter(([contrast]) => contrast < 4.5);
";
