"""The Files API: upload files of any size, look them up, delete them, wait until they are processed.

=============  ====================================================================
``upload``     `upload_file`: checks the arguments, picks the protocol
``resumable``  Google's protocol: the file in pieces, and what follows each failure
``form``       the complete file in one multipart form, for gateways
``metadata``   `get_file`, `list_files`, `delete_file`, `wait_for_file`
``job``        the checked arguments of an upload
``source``     the bytes of a path, a file object, a pipe, or bytes themselves
``api``        what all requests have in common: endpoint, names, retries, answers
=============  ====================================================================
"""

from .metadata import delete_file, get_file, list_files, wait_for_file
from .upload import upload_file

__all__ = ["delete_file", "get_file", "list_files", "upload_file", "wait_for_file"]
