"""Conan 2 recipe: conan create packaging/conan

The sources are those of the tree that the recipe lies in.
"""

import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir
from conan.tools.gnu import PkgConfigDeps

# Option to Conan's package. Each is what a SHS_WITH_NAME of the build looks for with pkg-config.
OPTIONAL = {
    "zlib": "zlib/[>=1.2.11 <2]",
    "brotli": "brotli/[>=1.0.9 <2]",
    "zstd": "zstd/[>=1.5 <2]",
    "jansson": "jansson/[>=2.14 <3]",
    "crypt": "libxcrypt/[>=4.4 <5]",
}


class ShsConan(ConanFile):
    name = "shs"
    license = "MIT"
    description = "HTTPS server library in the manner of Python's socketserver"
    topics = ("https", "http-server", "tls")
    settings = "os", "arch", "compiler", "build_type"
    package_type = "library"
    options = {"shared": [True, False], **{"with_" + name: [True, False] for name in OPTIONAL}}
    default_options = {"shared": False, **{"with_" + name: True for name in OPTIONAL}}

    def set_version(self):
        text = load(self, os.path.join(self.recipe_folder, "..", "..", "include", "shs", "version.h"))
        self.version = re.search(r'SHS_VERSION_STRING "([^"]+)"', text).group(1)

    def export_sources(self):
        top = os.path.join(self.recipe_folder, "..", "..")
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "src/*", "packaging/*"):
            copy(self, pattern, src=top, dst=self.export_sources_folder)

    def configure(self):
        # C alone.
        self.settings.rm_safe("compiler.libcxx")
        self.settings.rm_safe("compiler.cppstd")

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("libshs is for Linux alone")

    def layout(self):
        cmake_layout(self)

    def requirements(self):
        self.requires("openssl/[>=3.0 <4]")
        self.requires("llhttp/[>=9.2.1 <10]")
        for name, reference in OPTIONAL.items():
            if self.options.get_safe("with_" + name):
                self.requires(reference)

    def build_requirements(self):
        self.tool_requires("cmake/[>=3.25]")
        self.tool_requires("ninja/[>=1.10]")
        self.tool_requires("pkgconf/[>=2.0]")

    def generate(self):
        toolchain = CMakeToolchain(self, generator="Ninja")
        toolchain.cache_variables["SHS_BUILD_COMMAND"] = False
        toolchain.cache_variables["SHS_LIBRARIES"] = "shared" if self.options.shared else "static"
        toolchain.cache_variables["SHS_LLHTTP"] = "system"
        for name in OPTIONAL:
            toolchain.cache_variables["SHS_WITH_" + name.upper()] = bool(self.options.get_safe("with_" + name))
        toolchain.generate()
        CMakeDeps(self).generate()
        PkgConfigDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", src=self.source_folder, dst=os.path.join(self.package_folder, "licenses"))
        # Conan writes its own from what package_info says.
        for folder in (os.path.join("lib", "cmake"), os.path.join("lib", "pkgconfig"), "share"):
            rmdir(self, os.path.join(self.package_folder, folder))

    def package_info(self):
        self.cpp_info.libs = ["shs"]
        self.cpp_info.system_libs = ["pthread"]
        self.cpp_info.set_property("cmake_file_name", "shs")
        self.cpp_info.set_property("cmake_target_name", "shs::shs")
        self.cpp_info.set_property("pkg_config_name", "shs")
