//! The table of models.

use disinherit::{Compared, MethodResult, Scores, Study, Variant};

use crate::text::{escape, number};

/// Every model: role, accuracies before, after and retrained, what was changed.
pub(crate) fn draw(study: &Study) -> String {
    let shown = study.result(Variant::default());
    let compared = study.compared();
    let rows: String = compared.iter().map(|model| row(shown, model)).collect();
    format!(
        "<p>Accuracy in percent: before &gt; after, and of the retrained model in brackets. Training means the \
         model's own training data.</p>\n<div class=\"wide\"><table>\n<thead><tr><th \
         rowspan=\"2\">model</th><th rowspan=\"2\">role</th><th colspan=\"2\">forgotten \
         class</th><th colspan=\"2\">retained classes</th><th rowspan=\"2\">parameters \
         changed</th><th rowspan=\"2\">alpha / lambda</th><th rowspan=\"2\">time</th></tr>\n\
         <tr><th>training</th><th>held out</th><th>training</th><th>held out</th></tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div>\n"
    )
}

fn row(shown: Option<&MethodResult>, model: &Compared) -> String {
    let cell = |pick: fn(&Scores) -> Option<f64>| {
        let again = pick(&model.retrained).map_or(String::new(), |value| {
            format!(" <i>({})</i>", number(Some(value)))
        });
        format!(
            "<td>{} &gt; <b>{}</b>{again}</td>",
            number(pick(&model.before)),
            number(pick(&model.after))
        )
    };
    let outcome = shown
        .and_then(|r| r.models.iter().find(|m| m.id.name() == model.name))
        .map(|m| &m.outcome);
    let (alpha, time) = outcome.map_or(("-".into(), "-".into()), |o| {
        let pair = o.alpha.zip(o.lambda);
        (
            pair.map_or("-".into(), |(alpha, lambda)| {
                format!("{alpha:.2} / {lambda:.1}")
            }),
            format!("{:.1} ms", o.seconds * 1e3),
        )
    });
    format!(
        "<tr class=\"{role}\"><td>{}</td><td>{role}</td>{}{}{}{}<td>{}</td><td>{alpha}</td>\
         <td>{time}</td></tr>\n",
        escape(&model.name),
        cell(|s| s.forget.train),
        cell(|s| s.forget.heldout),
        cell(|s| s.retain.train),
        cell(|s| s.retain.heldout),
        model.parameters_changed,
        role = model.role,
    )
}
