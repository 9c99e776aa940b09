"""Large files to S3 in parts: what has arrived stays when sending stops, and is not sent again."""

import hashlib
from pathlib import Path
from typing import Any


def upload(files: Any, path: Path, place: str, part_bytes: int) -> None:
    """Send the file to place, on the s3fs file system `files`; the object appears with the last call, whole.

    An upload of the same place that was left open is gone on with: parts whose MD5 (S3's ETag of a part) is that
    of the file's bytes are kept.
    """
    bucket, _, key = place.partition("/")
    target = {"Bucket": bucket, "Key": key}
    upload_id = (
        _open_upload(files, target)
        or files.call_s3("create_multipart_upload", **target)["UploadId"]
    )
    there = _parts(files, target | {"UploadId": upload_id})
    sent = []
    with path.open("rb") as source:
        for number, content in enumerate(iter(lambda: source.read(part_bytes), b""), 1):
            tag = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if there.get(number) != tag:
                given = target | {"UploadId": upload_id, "PartNumber": number, "Body": content}
                tag = files.call_s3("upload_part", **given)["ETag"].strip('"')
            sent.append({"PartNumber": number, "ETag": f'"{tag}"'})
    files.call_s3(
        "complete_multipart_upload", **target, UploadId=upload_id, MultipartUpload={"Parts": sent}
    )
    files.invalidate_cache(place)


def _open_upload(files: Any, target: dict[str, str]) -> str | None:
    try:
        found = files.call_s3(
            "list_multipart_uploads", Bucket=target["Bucket"], Prefix=target["Key"]
        )
    except FileNotFoundError:  # some services say so where a bucket has none
        return None
    same = [one["UploadId"] for one in found.get("Uploads", []) if one["Key"] == target["Key"]]
    return same[-1] if same else None


def _parts(files: Any, target: dict[str, str]) -> dict[int, str]:
    """Number -> MD5 of the parts that have arrived."""
    found = files.call_s3("list_parts", **target).get("Parts", [])
    return {int(one["PartNumber"]): one["ETag"].strip('"') for one in found}
