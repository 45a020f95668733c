"""`python -m twin_assets.cli`: the same as `twin`."""

from twin_assets.cli.main import app

if __name__ == "__main__":
    app(prog_name="twin")
