# tidy.awk - what check_format.sh --fix does before clang-format, which leaves comments alone:
#
#   - white space at the end of a line or before the end of a comment goes away
#   - rulers and prose in comments are brought back to 100 columns; what is too much for a line goes
#     to the front of the next one of its paragraph
#   - a list of designated initialisers ends with a comma, so that it stays one to a line

function overlong(text) { return length(text) > 100 }

# Where to cut: the last blank at or before column 100.
function cut_at(text,    i) {
    for (i = 101; i > 1; i--)
        if (substr(text, i, 1) == " ")
            return i
    return 0
}

function insert_after(n, text,    i) {
    for (i = count; i > n; i--)
        line[i + 1] = line[i]
    line[n + 1] = text
    count++
}

# Prose inside a block comment: " *   words". The rest joins the next line if that goes on.
function wrap(n,    at, rest, lead, next_lead, words) {
    match(line[n], /^ *\* */)
    lead = substr(line[n], 1, RLENGTH)
    at = cut_at(line[n])
    if (at <= length(lead))
        return
    rest = substr(line[n], at + 1)
    line[n] = substr(line[n], 1, at - 1)
    if (n < count && match(line[n + 1], /^ *\* +[^ \/]/)) {
        next_lead = substr(line[n + 1], 1, RLENGTH - 1)
        words = substr(line[n + 1], RLENGTH)
        # A shallower line, a list item or a table is another paragraph.
        if (length(next_lead) >= length(lead) && words !~ /^(-|[0-9]+\.) / && words !~ /[^ ]   +[^ ]/) {
            line[n + 1] = next_lead rest " " words
            return
        }
    }
    insert_after(n, lead rest)
}

{ line[++count] = $0 }

END {
    for (n = 1; n <= count; n++) {
        if (sub(/  +\*\/$/, " */", line[n]) == 0)
            sub(/[ \t]+$/, "", line[n])
        while (overlong(line[n]) && sub(/--- \*\/$/, "-- */", line[n]))
            ;
        while (overlong(line[n]) && sub(/---$/, "--", line[n]))
            ;
        if (line[n] ~ /^ +\.[a-z_A-Z0-9]+ = [^;{}]*[^ ,{};]};$/ && line[n - 1] ~ /^ +\./)
            sub(/};$/, ",};", line[n])
        # A sentence behind code goes above it.
        if (overlong(line[n]) && line[n] ~ /^ *[^ *\/].*[;,{] \/\* .* \*\/$/) {
            match(line[n], /^ */)
            lead = substr(line[n], 1, RLENGTH)
            at = index(line[n], "/* ")
            text = substr(line[n], at)
            line[n] = substr(line[n], 1, at - 2)
            insert_after(n, line[n])
            line[n] = lead text
        }
        # One sentence alone: the comment gets its own lines.
        if (overlong(line[n]) && line[n] ~ /^ *\/\* .* \*\/$/) {
            match(line[n], /^ */)
            lead = substr(line[n], 1, RLENGTH)
            text = substr(line[n], RLENGTH + 4, length(line[n]) - RLENGTH - 6)
            line[n] = lead "/*"
            insert_after(n, lead " * " text)
            insert_after(n + 1, lead " */")
        }
        if (overlong(line[n]) && line[n] ~ /^ *\* /)
            wrap(n)
    }
    for (n = 1; n <= count; n++)
        print line[n]
}
