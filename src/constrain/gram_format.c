/* gram_format.c - string formats as regular expressions.
 *
 * Each allows no text that the format forbids; of what the format allows, the usual. Years have
 * four digits, from 1000 on; the 29th of February is left out. Sources: RFC 3339 (dates and times),
 * RFC 4122 (uuid), RFC 2673 (ipv4), RFC 4291 (ipv6, without the forms that abbreviate), RFC 5321 (email,
 * dot-atoms), RFC 1123 (hostname), RFC 3986 (uri), RFC 6901 (JSON pointers).
 */
#include "constrain/gram_int.h"

#define DAYS(n)  "(0[1-9]|[12][0-9]|" n ")" // of a month: up to 29, and these
#define DATE     "[12][0-9]{3}-((0[13578]|1[02])-" DAYS("3[01]") "|(0[469]|11)-" DAYS("30") "|02-(0[1-9]|1[0-9]|2[0-8]))"
#define CLOCK    "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define BYTE     "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define LABEL    "[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?"
#define ATOM     "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,32}"
#define URI_CHAR "([A-Za-z0-9._~:/@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"

const char *gram_format(struct str name)
{
    static const struct {
        const char *name, *re;
    } rows[] = {
        { "date", "^" DATE "$" },
        { "time", "^" CLOCK "$" },
        { "date-time", "^" DATE "T" CLOCK "$" },
        { "duration", "^P([0-9]{1,4}D|[0-9]{1,4}W|[0-9]{1,4}Y([0-9]{1,2}M)?|[0-9]{1,4}M([0-9]{1,2}D)?|"
                      "T[0-9]{1,4}H([0-9]{1,2}M)?"
                      "|T[0-9]{1,4}M([0-9]{1,2}S)?|T[0-9]{1,4}S)$" },
        { "uuid", "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$" },
        { "ipv4", "^" BYTE "(\\." BYTE "){3}$" },
        { "ipv6", "^[0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4}){7}$" },
        { "email", "^" ATOM "(\\." ATOM ")?@" LABEL "(\\." LABEL "){1,6}$" },
        { "hostname", "^" LABEL "(\\." LABEL "){0,8}$" },
        { "uri", "^[A-Za-z][A-Za-z0-9+.-]{0,15}:" URI_CHAR "+(\\?" URI_CHAR "*)?(#" URI_CHAR "*)?$" },
        { "json-pointer", "^(/([^~/]|~[01])*)*$" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(str_c(rows[i].name), name)) return rows[i].re;
    return NULL;
}
