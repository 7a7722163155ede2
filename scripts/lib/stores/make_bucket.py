"""Makes a bucket: make_bucket.py ENDPOINT KEY SECRET NAME. Without a library, and with keys that have a colon, which curl cuts there."""
import datetime
import hashlib
import hmac
import sys
import urllib.parse
import urllib.request

REGION = "us-east-1"
endpoint, key, secret, name = sys.argv[1:]
host = urllib.parse.urlsplit(endpoint).netloc
time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
scope = f"{time[:8]}/{REGION}/s3/aws4_request"
nothing = hashlib.sha256(b"").hexdigest()
signed = "host;x-amz-content-sha256;x-amz-date"
request = f"PUT\n/{name}\n\nhost:{host}\nx-amz-content-sha256:{nothing}\nx-amz-date:{time}\n\n{signed}\n{nothing}"
text = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
signing_key = b"AWS4" + secret.encode()
for word in scope.split("/"):
    signing_key = hmac.new(signing_key, word.encode(), hashlib.sha256).digest()
signature = hmac.new(signing_key, text.encode(), hashlib.sha256).hexdigest()
headers = {
    "x-amz-date": time,
    "x-amz-content-sha256": nothing,
    "Authorization": f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={signed}, Signature={signature}",
}
urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT", headers=headers), timeout=60)
