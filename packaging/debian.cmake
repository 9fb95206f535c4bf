# The Debian packages, made by CPack: one for each component of install.cmake. What they depend on is found out by
# dpkg-shlibdeps.
set(FRACTAL_CONTACT "the fractal-lua authors <fractal-lua@localhost>" CACHE STRING
	"Maintainer named in the packages: NAME <ADDRESS>")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME fractal-lua)
set(CPACK_PACKAGE_CONTACT ${FRACTAL_CONTACT})
# With a DESTDIR, so that files which name their own place know it.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL runtime development command)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
# The first line of each description is the package's own.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
# Whatever umask the build has.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
	OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME libfractal0)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/packaging/debian/triggers)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_RECOMMENDS fuse3)
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION "library for FUSE filesystems over io_uring
libfractal mounts a filesystem that a C program describes by handlers. It
takes requests over io_uring where the kernel offers that, with one thread
for each CPU, and over /dev/fuse otherwise.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libfractal-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
	"libfractal0 (= ${PROJECT_VERSION}), liburing-dev")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "library for FUSE filesystems over io_uring, development files
libfractal mounts a filesystem that a C program describes by handlers.

This package has the header, the static library, and files for pkg-config and
CMake.")

set(CPACK_DEBIAN_COMMAND_PACKAGE_NAME fractal-lua)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_COMMAND_PACKAGE_RECOMMENDS fuse3)
set(CPACK_DEBIAN_COMMAND_DESCRIPTION "filesystems written in Lua, mounted over FUSE
fractal-lua runs a Lua script and mounts the filesystem that the script
returns. LuaJIT compiles the handlers, and requests come over io_uring where
the kernel offers that.

The Lua package that scripts are written against is inside the command.")

# --- what Debian's policy asks for beside it ------------------------------------
configure_file(packaging/debian/changelog.in ${packaging}/changelog @ONLY)
foreach(component ${CPACK_COMPONENTS_ALL})
	string(TOUPPER ${component} key)
	install(CODE "set(source \"${PROJECT_SOURCE_DIR}/packaging/debian\")
		set(changelog \"${packaging}/changelog\")
		set(data \"${CMAKE_INSTALL_DATADIR}\")
		set(package \"${CPACK_DEBIAN_${key}_PACKAGE_NAME}\")
		include(\"${PROJECT_SOURCE_DIR}/packaging/debian/finish.cmake\")"
		COMPONENT ${component})
endforeach()

include(CPack)
