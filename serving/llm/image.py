"""What `bentoml containerize` makes the image of a bento from, both services' (BentoML's Python API of images)."""

from bentoml.images import Image


def pinned_image(hashes: str, *debian: str) -> Image:
    """Debian with those packages, and Python with what a file of pins and hashes names, by its path in the bento.

    Only what is named is installed, since the pins are whole and packages ask for more than is used: with that of the carried
    embedder's weights torch would come. A bentofile can't say this: of its `pip_args` BentoML makes nothing in an image.
    """
    image = Image(python_version="3.11", lock_python_packages=False)  # every version stands in the file
    if debian:
        # Not `system_packages`, which tells it in the log whenever a service starts.
        image.run(f"apt-get install -q -y --no-install-recommends {' '.join(debian)}")
    # BentoML has uv install BentoML first, by no hash: without what belongs to it, and anew from the file that has the hash.
    image.run("mkdir -p /etc/uv && printf '[pip]\\nno-deps = true\\n' > /etc/uv/uv.toml")
    image.build_include(hashes).python_packages("bentoml")
    return image.run(f"uv pip install --require-hashes --reinstall-package bentoml -r src/{hashes}")
