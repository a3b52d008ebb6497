/* page.c - the lab's index page: the conditions with a filter, and a command to copy for each. */
#include "base/text.h"
#include "lab/lab.h"

#define PAGE_CEILING ((size_t)1 << 20)

/* Nothing is fetched from anywhere; colours follow the reader's system. */
static const char head_text[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
    "<meta name=\"color-scheme\" content=\"light dark\"><title>TLS lab</title><style>"
    ":root{--line:#ccc;--dim:#666;--a:#0a6b2d;--r:#b00020;--e:#7a5c00;--box:#f5f5f5}"
    "@media(prefers-color-scheme:dark){:root{--line:#444;--dim:#aaa;--a:#6fcf97;--r:#ff8a80;"
    "--e:#e6c46a;--box:#222}}"
    "body{font:16px/1.45 system-ui,sans-serif;margin:0 auto;padding:1rem;max-width:60rem}"
    "h1{font-size:1.4rem;margin:.2em 0}h2{font-size:1.1rem;margin:1.4em 0 .3em}"
    "input,select{font:inherit;padding:.4em;max-width:100%;box-sizing:border-box}"
    "#q{width:20rem}"
    "details{border-top:1px solid var(--line);padding:.35rem 0}"
    "summary{cursor:pointer;overflow-wrap:anywhere}summary b{margin-right:.5em}"
    "summary span{color:var(--dim)}.accept{color:var(--a)}.reject{color:var(--r)}"
    ".either{color:var(--e)}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .8rem;margin:.4rem 0 .4rem "
    "1rem}"
    "dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}"
    "pre{background:var(--box);padding:.5rem;white-space:pre-wrap;overflow-wrap:anywhere;margin:."
    "3rem "
    "0}"
    "button{font:inherit}"
    "@media(max-width:30rem){dl{grid-template-columns:1fr}dd{margin-bottom:.3rem}}"
    "</style></head><body>";

static const char script_text[] =
    "<p id=\"none\" hidden>No condition has that.</p><script>"
    "const q=document.getElementById('q'),x=document.getElementById('x'),"
    "n=document.getElementById('n'),all=[...document.querySelectorAll('details')];"
    "function show(){const w=q.value.toLowerCase().split(' ').filter(Boolean);let c=0;"
    "for(const d of all){const t=d.textContent.toLowerCase();"
    "const on=w.every(k=>t.includes(k))&&(!x.value||d.dataset.x===x.value);d.hidden=!on;c+=on}"
    "for(const s of document.querySelectorAll('section'))"
    "s.hidden=![...s.querySelectorAll('details')].some(d=>!d.hidden);"
    "n.textContent=c;document.getElementById('none').hidden=c>0}"
    "q.oninput=x.onchange=show;"
    "document.body.onclick=e=>{if(e.target.tagName==='BUTTON'&&navigator.clipboard)"
    "navigator.clipboard.writeText(e.target.previousElementSibling.textContent)"
    ".then(()=>{e.target.textContent='copied'})}"
    "</script></body></html>\n";

static const char *word_of(enum shs_lab_expect expect)
{
    return expect == SHS_LAB_ACCEPT ? "accept" : expect == SHS_LAB_REJECT ? "reject" : "either";
}

static int escaped(struct shs_buf *out, const char *before, const char *text, const char *after)
{
    int rc = shs__buf_append_str(out, shs__str(before));

    if (rc == SHS_OK)
        rc = shs__html_escape(out, shs__str(text));
    return rc == SHS_OK ? shs__buf_append_str(out, shs__str(after)) : rc;
}

static int item(struct shs_buf *out, const char *label, const char *text)
{
    int rc = text[0] == '\0' ? SHS_OK : shs__buf_printf(out, "<dt>%s</dt>", label);

    return text[0] == '\0' || rc != SHS_OK ? rc : escaped(out, "<dd>", text, "</dd>");
}

static int command(struct shs_buf *out, const struct shs_lab *lab, const struct shs_condition *c)
{
    int rc = escaped(out, "</dl><pre>curl --proxy ", lab->base_url, " --cacert ");

    if (rc == SHS_OK)
        rc = escaped(out, "", shs_lab_ca_path(lab), " https://");
    return rc == SHS_OK ? escaped(out, "", c->host, "/</pre><button>copy</button></details>") : rc;
}

static int condition(struct shs_buf *out, const struct shs_lab *lab, const struct shs_condition *c)
{
    static const char *const tiers[] = {"critical", "high", "medium", "low"};
    int rc =
        shs__buf_printf(out,
                        "<details id=\"%s\" data-x=\"%s\"><summary><b>%s</b> "
                        "<span class=\"%s\">%s</span> <span>%s%s ",
                        c->id, word_of(c->expect), c->id, word_of(c->expect), word_of(c->expect),
                        tiers[c->tier], c->servable ? "" : ", not servable");

    if (rc == SHS_OK)
        rc = escaped(out, "&middot; ", c->served, "</span></summary><dl>");
    if (rc == SHS_OK)
        rc = item(out, "fault in", c->layer);
    if (rc == SHS_OK)
        rc = item(out, "reason", c->reason);
    if (rc == SHS_OK)
        rc = item(out, "OpenSSL, curl, Python", c->word);
    if (rc == SHS_OK)
        rc = item(out, "Go", c->go);
    if (rc == SHS_OK)
        rc = item(out, "Node", c->node);
    if (rc == SHS_OK)
        rc = item(out, "Chromium", c->chromium);
    if (rc == SHS_OK)
        rc = item(out, "measured to do otherwise", c->differs);
    if (rc == SHS_OK)
        rc = item(out, "measured to accept", c->accepts);
    if (rc == SHS_OK)
        rc = item(out, "needs", c->needs);
    if (rc == SHS_OK)
        rc = item(out, "note", c->note);
    if (rc == SHS_OK)
        rc = item(out, "see", c->refs);
    if (rc == SHS_OK)
        rc = item(out, "not servable", c->why);
    return rc == SHS_OK ? command(out, lab, c) : rc;
}

/* The groups in the order of their first conditions; a group's conditions need not be together. */
static int groups(struct shs_buf *out, const struct shs_lab *lab)
{
    int rc = SHS_OK;

    for (size_t i = 0; i < lab->count && rc == SHS_OK; i++) {
        const char *group = lab->units[i].public.group;
        size_t first = 0;

        while (strcmp(lab->units[first].public.group, group) != 0)
            first++;
        if (first != i)
            continue;
        rc = shs__buf_printf(out, "<section><h2>%s</h2>", group);
        for (size_t j = i; j < lab->count && rc == SHS_OK; j++) {
            if (strcmp(lab->units[j].public.group, group) == 0)
                rc = condition(out, lab, &lab->units[j].public);
        }
        if (rc == SHS_OK)
            rc = shs__buf_append_str(out, SHS_STR("</section>"));
    }
    return rc;
}

static int print_page(struct shs_buf *out, const struct shs_lab *lab)
{
    int rc = shs__buf_append_str(out, SHS_STR(head_text));

    if (rc == SHS_OK)
        rc = shs__buf_printf(
            out,
            "<h1>TLS lab</h1><p>Servers that are wrong in one way each, under <code>%s</code>, on "
            "one port. A client comes by the proxy <code>%s</code> and trusts <a "
            "href=\"/ca.pem\">ca.pem</a> (for Java <a href=\"/ca.p12\">ca.p12</a>). See also <a "
            "href=\"/manifest.json\">manifest.json</a>, "
            "<a href=\"/hello\">hello</a>, <a href=\"/log\">log</a>, <a "
            "href=\"/proxy.pac\">proxy.pac</a>.</p><p><input id=\"q\" type=\"search\" "
            "placeholder=\"filter: name, group, word\" aria-label=\"filter\"> <select id=\"x\" "
            "aria-label=\"expected\"><option value=\"\">all</option><option>accept</option>"
            "<option>reject</option><option>either</option></select> <span "
            "id=\"n\">%zu</span> conditions</p>",
            lab->domain, lab->base_url, lab->count);
    if (rc == SHS_OK)
        rc = groups(out, lab);
    return rc == SHS_OK ? shs__buf_append(out, script_text, sizeof script_text) : rc; /* and NUL */
}

int shs__lab_make_page(struct shs_lab *lab, struct shs_error *err)
{
    struct shs_buf out;
    int rc;

    shs__buf_init(&out, PAGE_CEILING);
    rc = print_page(&out, lab);
    if (rc == SHS_OK) {
        lab->page = shs__strdup(shs__buf_head(&out));
        rc = lab->page == NULL ? SHS_NOMEM : SHS_OK;
    }
    shs__buf_free(&out);
    return rc == SHS_OK ? rc : shs_error_set(err, rc, 0, "Out of memory for the lab's page.");
}
