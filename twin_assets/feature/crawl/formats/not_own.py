"""Which files of a repository or a folder are somebody else's by their path alone: vendored, generated, boilerplate.

The folders and names are those that forges' own language counters call vendored or generated, and the
texts that every project carries in the same words: licences, codes of conduct, forms.
"""

import re
from pathlib import PurePosixPath

_VENDOR_FOLDERS = {
    "third_party", "third-party", "thirdparty", "3rdparty", "3rd_party", "3rd-party", "vendor", "vendors",
    "vendored", "_vendor", "_vendored", "node_modules", "bower_components", "jspm_packages", "external", "externals", "extern",
    "deps", "dependencies", "godeps", "pods", "carthage", "site-packages", "dist-packages", "venv", ".venv",
    "virtualenv", ".tox", ".eggs", ".yarn", "__pypackages__", "__pycache__", "dist",
}  # fmt: skip
_SPOKEN_OF = {"vendor", "vendors", "external", "externals", "extern", "deps", "dependencies", "pods", "dist"}
_MARKUP = {".md", ".markdown", ".mdx", ".rst", ".org", ".adoc"}
# What an installer wrote, and a library's folder that says its version: jasmine-2.0.0.
_CHECKED_OUT = re.compile(
    r"[\w.-]+\.(egg-info|dist-info)$|(?!release|version|v\d)[a-z][\w.]*-v?\d+\.\d+(\.\d+)+$"
)
_VENDOR_FILES = re.compile(
    r"[.-](min|bundle|pack|prod|umd)\.(js|mjs|css)$"
    # A library's copy says its version: jquery-1.8.3.js, three.r125.js.
    r"|[.-]v?\d+\.\d+(\.\d+)*([.-][\w.]+)?\.(js|mjs|css|py|rb|lua|h|hpp|c)$"
    r"|^(jquery|bootstrap|modernizr|d3|angular|react|react-dom|vue|underscore|backbone|lodash|moment|handlebars|mustache"
    r"|prototype|mootools|dojo|yui|zepto|raphael|leaflet|three|mathjax|katex|mermaid|highlight|prism|prettify"
    r"|codemirror|tinymce|ckeditor|html5shiv|respond|swfobject|fontawesome|normalize|polyfill|require|sockjs"
    r"|chart|plotly|socket\.io|lunr|fuse|select2|fancybox|lightbox|masonry|knockout|ember|ext-all|p5)"
    r"([.-](ui|core|slim|all|full|pack|cookie|form|validate|effects|easing|lazyload|bundle|esm|debug|dev)\b[\w.-]*)?\.(js|mjs)$"
    r"|^jquery[.-][\w.-]*\.js$"
    r"|^(gradlew|mvnw|configure|ltmain\.sh|install-sh|config\.(guess|sub)|depcomp|missing|compile|versioneer\.py"
    r"|ez_setup\.py|distribute_setup\.py|get-pip\.py|sqlite3(ext)?\.[ch]|miniz\.[ch]|cjson\.[ch]|uthash\.h|stb_\w+\.h|catch(2)?\.hpp"
    r"|doctest\.h|gtest\.h|lodepng\.(cpp|h)|tinyxml2?\.(cpp|h)|xxhash\.[ch])$"
)
_GENERATED_FILES = re.compile(
    r"(_pb2(_grpc)?\.pyi?|\.pb\.(go|cc|h)|_pb\.(js|rb|d\.ts)|\.pb-c\.[ch]|\.g\.dart|\.freezed\.dart|_string\.go|\.generated\.\w+|_generated\.\w+"
    r"|^zz_generated[\w.]*\.go|\.designer\.(cs|vb)|\.d\.ts\.map|\.js\.map|\.min\.map|_rc\.py|^package-lock\.json|^moc_\w+\.cpp"
    r"|^lextab\.py|^yacctab\.py|^parsetab\.py|^_version\.py)$"
)
_BOILERPLATE = {
    "licence text": re.compile(
        r"^(un)?licen[cs]es?([-_. ](mit|apache|bsd|gpl|lgpl|agpl|mpl|cc|isc|zlib|ofl|mozilla|third[-_ ]?party|\d)[\w.+-]*)*$"
        r"|^(mit-licen[cs]e|gpl-\d\S*|third[-_ ]?party[-_ ]?(notices?|licen[cs]es?))$"
    ),
    "code of conduct": re.compile(r"^code[-_. ]?of[-_. ]?conduct([-_.][a-z]{2}([-_][a-z]{2})?)?$"),
    "form of a forge": re.compile(
        r"^(issue|pull_request|pr|merge_request)[-_]?template$|^(bug_report|feature_request)([-_]?template)?$"
    ),
    "changelog": re.compile(r"^change[-_]?logs?([-_.]\d[\w.]*)?$|^releasenotes$|^release[-_]notes$"),
}
# Words that mean so only when they are shouted: notes on history or on security have the same names.
_SHOUTED = {
    "licence text": re.compile(r"^(COPYING|COPYRIGHT|PATENTS|NOTICE|OFL|EULA)([-_.]LESSER)?$"),
    "form of a forge": re.compile(r"^(SECURITY|DCO|CLA|FUNDING)$"),
    "changelog": re.compile(r"^(CHANGES|HISTORY|NEWS|RELEASES?)$"),
    "instructions to a tool": re.compile(r"^(CLAUDE|AGENTS?|GEMINI|SKILL|WARP)$"),
    "list of people": re.compile(r"^(AUTHORS|CONTRIBUTORS|MAINTAINERS|CODEOWNERS|THANKS|BACKERS)$"),
}
_PROSE_SUFFIXES = {"", ".md", ".markdown", ".txt", ".rst", ".adoc", ".org", ".html", ".htm", ".rtf", ".pdf"}


def not_own_reason(path: str) -> str | None:
    """Why a file at this path (relative, with slashes) is not its owner's own writing or code; None when it may be.

    Only the path is looked at. `vendored` and `generated` hold for code and prose, the rest for texts.
    """
    pure = PurePosixPath(path.replace("\\", "/"))
    folders = [part.lower() for part in pure.parts[:-1]]
    name = pure.name.lower()
    # Others' texts lie in a package's folder inside; notes on vendors and dependencies lie in the folder itself.
    notes = (
        pure.suffix.lower() in _MARKUP
        and pure.stem.lower() != "readme"
        and folders[-1:]
        and folders[-1] in _SPOKEN_OF
    )
    if any(
        part in _VENDOR_FOLDERS or _CHECKED_OUT.match(part) for part in (folders[:-1] if notes else folders)
    ):
        return "vendored"
    if _GENERATED_FILES.search(name):
        return "generated"
    if _VENDOR_FILES.search(name[-300:]):
        return "vendored"
    suffix = pure.suffix.lower()
    is_prose = suffix in _PROSE_SUFFIXES
    stem, shouted = (pure.stem.lower(), pure.stem) if is_prose else (name, pure.name)
    if not is_prose and not re.match(r"licen[cs]e|copying", name):
        return None
    if any(part in ("licenses", "licences") for part in folders):
        return "licence text"
    if any(
        part in ("issue_template", "pull_request_template", "merge_request_templates", "issue_templates")
        for part in folders
    ):
        return "form of a forge"
    for reason, pattern in _BOILERPLATE.items():
        if pattern.match(stem):
            return reason
    return next((reason for reason, pattern in _SHOUTED.items() if pattern.match(shouted)), None)
