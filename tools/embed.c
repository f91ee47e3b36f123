/* embed.c - a file as a C array, for the build:  embed FILE OUT.c NAME
 *
 * Gives `const char embed_NAME[]` (with a NUL behind the bytes) and `const size_t embed_NAME_n`. As string
 * literals, which compilers read far faster than lists of numbers. */
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 4) return 2;
    FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
    if (!in || !out) {
        perror(in ? argv[2] : argv[1]);
        return 1;
    }
    long n = 0;
    int  c;
    fprintf(out, "#include <stddef.h>\nextern const char embed_%s[];\nextern const size_t embed_%s_n;\n"
            "const char embed_%s[] =", argv[3], argv[3], argv[3]);
    while ((c = getc(in)) != EOF) {
        if (n++ % 64 == 0) fputs(n > 1 ? "\"\n\"" : "\n\"", out);
        if (c == '"' || c == '\\') fprintf(out, "\\%c", c);
        else if (c >= 0x20 && c < 0x7f && c != '?') putc(c, out); // no trigraphs
        else fprintf(out, "\\%03o", (unsigned)c);
    }
    fprintf(out, n ? "\";\n" : "\"\";\n");
    fprintf(out, "const size_t embed_%s_n = %ld;\n", argv[3], n);
    return ferror(in) || fclose(out) ? 1 : 0;
}
