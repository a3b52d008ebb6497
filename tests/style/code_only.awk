# code_only.awk - C without its comments and without what is inside its quotes, line by line.
#
#   awk -f code_only.awk FILE...           FILE:LINE:code
#   awk -v mode=slashes -f code_only.awk   FILE:LINE:text of each line with a // comment
#
# So that a search for a name finds the code that uses it and nothing that only talks about it.

FNR == 1 { in_comment = 0; quote = "" }

{
    # Most lines need no look at every character.
    if (!in_comment && quote == "" && $0 !~ /["'\/]/) {
        if (mode != "slashes")
            print FILENAME ":" FNR ":" $0
        next
    }
    out = ""
    slashes = 0
    n = length($0)
    for (i = 1; i <= n; i++) {
        c = substr($0, i, 1)
        two = substr($0, i, 2)
        if (in_comment) {
            if (two == "*/") {
                in_comment = 0
                i++
            }
        } else if (quote != "") {
            if (c == "\\") {
                i++
            } else if (c == quote) {
                quote = ""
                out = out c
            }
        } else if (two == "/*") {
            in_comment = 1
            out = out " "
            i++
        } else if (two == "//") {
            slashes = 1
            break
        } else {
            if (c == "\"" || c == "'")
                quote = c
            out = out c
        }
    }
    # A literal ends with its line, unless the line is continued.
    if (quote != "" && $0 !~ /\\$/)
        quote = ""
    if (mode == "slashes") {
        if (slashes)
            print FILENAME ":" FNR ":" $0
    } else {
        print FILENAME ":" FNR ":" out
    }
}
