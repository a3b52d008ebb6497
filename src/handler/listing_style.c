/*
 * listing_style.c - what the pages look like, and the script that some of them have.
 *
 * Both are resources of their own, which a page names by its own address and a query. So they pass
 * every Content-Security-Policy that lets a site use its own files, whoever has made it: a
 * middleware, a field of the site, a proxy in front. A style or a script inside of the page would
 * need 'unsafe-inline'.
 *
 * Nothing depends on the script: without it the form uploads, and the rows are all there. It is as
 * small as it can be, and says nothing to anybody but this server.
 */
#include <shs/version.h>

#include "handler/listing.h"

/* With the version: what a browser has kept of another one does not fit this page. */
#define STYLE_NAME "listing.css"
#define SCRIPT_NAME "listing.js"
#define ADDRESS(name) "?" name "=" SHS_VERSION_STRING

static const char page_head[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<link rel=\"stylesheet\" href=\"" ADDRESS(STYLE_NAME) "\">\n";

static const char style[] =
    ":root { --ink: #1c2530; --soft: #5d6b7a; --line: #dfe4ea; --link: #0b5cad; --page: #fff;"
    " --row: #f5f7fa; --bad: #b3261e; }\n"
    "@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ef; --soft: #97a4b3;"
    " --line: #333c47; --link: #7db8f5; --page: #14181d; --row: #1d232a; --bad: #ff8a80; } }\n"
    "body { margin: 2.5rem auto; max-width: 60rem; padding: 0 1rem; color: var(--ink);"
    " background: var(--page); font: 1rem/1.5 system-ui, sans-serif; }\n"
    "h1 { margin: 0; padding: 0 .5rem; font-size: 1.25rem; font-weight: 600;"
    " overflow-wrap: anywhere; }\n"
    "p { margin: .25rem 0 1rem; padding: 0 .5rem; color: var(--soft); font-size: .875rem; }\n"
    "table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }\n"
    "th { position: sticky; top: 0; padding: 0; background: var(--page); text-align: left;"
    " color: var(--soft); font-weight: 500; font-size: .875rem;"
    " box-shadow: inset 0 -1px var(--line); }\n"
    "td { padding: 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }\n"
    "th a, td a, td b, .size, .time { display: block; padding: .4rem .5rem; }\n"
    "td.size, td.time { display: table-cell; }\n"
    "th.size, th.time { display: table-cell; padding: 0; }\n"
    "tbody tr:hover { background: var(--row); }\n"
    "th:first-child { width: 100%; }\n"
    "td:first-child { overflow-wrap: anywhere; }\n"
    "td b { font-weight: 400; color: var(--soft); }\n"
    ".size, .time { white-space: nowrap; color: var(--soft); }\n"
    ".size { text-align: right; }\n"
    "a { color: var(--link); text-decoration: none; }\n"
    "a:hover, a:focus { text-decoration: underline; }\n"
    "td a[href$=\"/\"] { font-weight: 600; }\n"
    "th a { color: inherit; } th[aria-sort] a { color: var(--ink); }\n"
    "th[aria-sort=ascending] a::after { content: \" \\2191\"; }\n"
    "th[aria-sort=descending] a::after { content: \" \\2193\"; }\n"
    "form { margin: 0 .5rem 1rem; padding: .75rem; border: 1px dashed var(--soft);"
    " border-radius: .5rem; color: var(--soft); font-size: .875rem; }\n"
    "form.over { border-color: var(--link); background: var(--row); }\n"
    "input, button { font: inherit; max-width: 100%; margin: .125rem 0; }\n"
    "progress { width: 100%; accent-color: var(--link); }\n"
    "output { display: block; } output.bad { color: var(--bad); }\n"
    ".tools { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }\n"
    ".tools input { flex: 1 1 12rem; min-width: 0; padding: .3rem .5rem; color: inherit;"
    " background: var(--page); border: 1px solid var(--line); border-radius: .375rem; }\n"
    "@media (max-width: 36rem) { body { margin: 1rem auto; padding: 0 .25rem; }"
    " .time span { display: none; } td.size, td.time { font-size: .875rem; } }\n";

static const char upload_form[] =
    "<form id=\"upload\" method=\"post\" enctype=\"multipart/form-data\">\n"
    "<label>Add files <input type=\"file\" name=\"file\" multiple required></label>\n"
    "<button>Upload</button>\n"
    "<span id=\"drop\" hidden>or drop them here</span>\n"
    "<progress hidden max=\"100\" aria-label=\"Upload\"></progress>\n"
    "<output role=\"status\"></output>\n"
    "</form>\n";

static const char filter_box[] =
    "<input id=\"filter\" type=\"search\" placeholder=\"Filter names\" aria-label=\"Filter names\""
    " autocomplete=\"off\" hidden>\n";

/* Each part looks whether the page has what it is for. */
static const char script[] =
    "(function () {\n"
    "var form = document.getElementById('upload');\n"
    "if (!form) return;\n"
    "var bar = form.querySelector('progress'),\n"
    "  say = form.querySelector('output'), button = form.querySelector('button'), going = null;\n"
    "document.getElementById('drop').hidden = false;\n"
    "function tell(text, bad) { say.textContent = text; say.className = bad ? 'bad' : ''; }\n"
    "function end(text) { bar.hidden = true; button.textContent = 'Upload'; going = null;\n"
    "  tell(text, true); }\n"
    "function send(files) {\n"
    "  var data = new FormData(), ask = new XMLHttpRequest(), i;\n"
    "  if (going || !files.length) return;\n"
    "  for (i = 0; i < files.length; i++) data.append('file', files[i]);\n"
    "  going = ask; bar.hidden = false; bar.value = 0; button.textContent = 'Cancel';\n"
    "  tell(files.length === 1 ? files[0].name : files.length + ' files');\n"
    "  ask.upload.onprogress = function (e) { if (e.lengthComputable) {\n"
    "    bar.value = 100 * e.loaded / e.total;\n"
    "    tell(Math.floor(bar.value) + ' % of ' + (e.total / 1048576).toFixed(1) + ' MiB'); } };\n"
    "  ask.onload = function () {\n"
    "    var page = new DOMParser().parseFromString(ask.responseText, 'text/html');\n"
    "    var why = page.querySelector('p');\n"
    "    if (ask.status === 201) location.reload();\n"
    "    else end('Not stored: ' + (why ? why.textContent : ask.status)); };\n"
    "  ask.onerror = function () { end('Not stored: the connection was lost.'); };\n"
    "  ask.onabort = function () { end('Not stored: cancelled.'); };\n"
    "  ask.open('POST', location.pathname); ask.send(data);\n"
    "}\n"
    "form.addEventListener('submit', function (e) { e.preventDefault();\n"
    "  if (going) going.abort(); else send(form.querySelector('input').files); });\n"
    "button.addEventListener('click', function (e) {\n"
    "  if (going) { e.preventDefault(); going.abort(); } });\n"
    "['dragenter', 'dragover', 'dragleave', 'drop'].forEach(function (name) {\n"
    "  document.addEventListener(name, function (e) {\n"
    "    if (!e.dataTransfer || Array.from(e.dataTransfer.types).indexOf('Files') < 0) return;\n"
    "    e.preventDefault();\n"
    "    form.classList.toggle('over', name === 'dragenter' || name === 'dragover');\n"
    "    if (name === 'drop') send(e.dataTransfer.files); }); });\n"
    "})();\n"
    "(function () {\n"
    "var box = document.getElementById('filter');\n"
    "if (!box) return;\n"
    "var count = document.getElementById('count'),\n"
    "  all = count.textContent, rows = document.querySelectorAll('tbody tr:not(.up)');\n"
    "function filter() {\n"
    "  var want = box.value.toLowerCase(), shown = 0;\n"
    "  rows.forEach(function (row) {\n"
    "    row.hidden = row.cells[0].textContent.toLowerCase().indexOf(want) < 0;\n"
    "    shown += !row.hidden; });\n"
    "  count.textContent = want ? shown + ' of ' + rows.length : all;\n"
    "}\n"
    "box.hidden = false; box.addEventListener('input', filter); filter();\n"
    "})();\n";

static const char script_link[] = "<script src=\"" ADDRESS(SCRIPT_NAME) "\" defer></script>\n";

#define PART(text) ((struct shs_str){text, sizeof text - 1})

struct shs_str shs__listing_head(void)
{
    return PART(page_head);
}

struct shs_str shs__listing_upload_form(void)
{
    return PART(upload_form);
}

struct shs_str shs__listing_filter_box(void)
{
    return PART(filter_box);
}

struct shs_str shs__listing_script_link(void)
{
    return PART(script_link);
}

/* "NAME" or "NAME=anything": one version has no more than one of each. */
static bool asks_for(struct shs_str query, struct shs_str name)
{
    return query.ptr != NULL && query.len >= name.len &&
           memcmp(query.ptr, name.ptr, name.len) == 0 &&
           (query.len == name.len || query.ptr[name.len] == '=');
}

bool shs__listing_resource(struct shs_str query, const char **type, struct shs_str *text)
{
    if (asks_for(query, SHS_STR(STYLE_NAME))) {
        *type = "text/css; charset=utf-8";
        *text = PART(style);
        return true;
    }
    if (asks_for(query, SHS_STR(SCRIPT_NAME))) {
        *type = "text/javascript; charset=utf-8";
        *text = PART(script);
        return true;
    }
    return false;
}
