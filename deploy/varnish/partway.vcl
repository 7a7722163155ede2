# Partway behind Varnish 7: copy to /etc/varnish/default.vcl, or its parts into the one that is there; change the lines that
# are marked. Then `varnishreload`. Varnish speaks no TLS: put hitch, HAProxy or nginx in front of it.
#
# Start varnishd with `-p backend_idle_timeout=30`. That is shorter than Partway's http.header_timeout_seconds (1m), as the
# default of 60 s is not: a connection that Partway is about to close must not be used for another request.
#
# By default Partway's files say `Cache-Control: public, no-cache`, of which Varnish keeps nothing. With
#   delivery.cache_control = "public, max-age=60"
# it keeps those up to 10 MB for as long, and serves an old one for up to a minute after it was replaced.

vcl 4.1;

import std;

# change: where Partway listens
backend partway {
    .host = "127.0.0.1";
    .port = "8080";
    .connect_timeout = 5s;
    # Completing an upload waits until the file is on the disk, which takes minutes on a slow one; clients wait 10.
    .first_byte_timeout = 660s;
    # Partway ends a stalled transfer after http.stall_timeout_seconds (30s).
    .between_bytes_timeout = 75s;
}

sub vcl_recv {
    # Metrics are for the machines that collect them. change: your path, if it is not /files. Both are refused, because Varnish
    # passes every path on. A path may come after a scheme and a host, of which Varnish 7.1 removes only those with `http`,
    # and before a fragment.
    if (req.url ~ "^([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)?/+(files/+)?metrics/*([?#]|$)") {
        return (synth(404));
    }

    # HTTP/2 to Varnish has no pipes. The header says so further below, and Partway ignores it.
    unset req.http.X-May-Pipe;
    if (req.proto != "HTTP/2.0") {
        set req.http.X-May-Pipe = "yes";
    }

    # Bodies of uploads are piped, byte for byte. Otherwise Varnish ends a chunked body that its client cut with the last
    # chunk, as if it were whole.
    if (req.http.X-May-Pipe && (req.method == "PUT" || (req.method == "POST" && req.url ~ "/api/v1/uploads(\?|$)"))) {
        return (pipe);
    }

    # Nothing of the API is kept. Its answers say so, too (`no-store`).
    if ((req.method != "GET" && req.method != "HEAD") || req.url ~ "/api/") {
        return (pass);
    }

    # Files are for everybody: a cookie of another site on the same host does not change them.
    unset req.http.Cookie;

    # Ranges, too, are piped. For a range of a file that it might keep Varnish reads the whole file first.
    if (req.http.X-May-Pipe && (req.http.Range || req.restarts > 0)) {
        return (pipe);
    }
    # Varnish 7.1 answers 503 to several ranges of what it passes. All of the file is a right answer, too.
    if (req.http.Range ~ ",") {
        unset req.http.Range;
    }
    if (req.http.Range) {
        return (pass);
    }
}

# A file that a slow client takes is in Varnish's memory as far as Partway has sent it, which is soon all of it, for each
# client. Therefore large files are asked for a second time and piped. change: what is large
sub vcl_backend_response {
    if (bereq.http.X-May-Pipe && !bereq.uncacheable && std.integer(beresp.http.Content-Length, 0) > 10000000) {
        return (error(799, "Large"));
    }
}

# 799 is between these subroutines only. For the next two minutes requests for the same file do not wait for each other.
sub vcl_backend_error {
    if (beresp.status == 799) {
        set beresp.uncacheable = true;
        set beresp.ttl = 120s;
        return (deliver);
    }
}

sub vcl_deliver {
    if (resp.status == 799 && req.restarts == 0) {
        return (restart);
    }
}
