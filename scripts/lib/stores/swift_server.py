"""Runs one of Swift's servers with the settings of a directory: swift.py DIRECTORY account|container|object|proxy"""
import sys

from swift.common import utils
from swift.common.wsgi import run_wsgi

directory, name = sys.argv[1:]
utils.SWIFT_CONF_FILE = f"{directory}/swift.conf"
utils.validate_hash_conf()
sys.exit(run_wsgi(f"{directory}/{name}.conf", f"{name}-server", verbose=True))
