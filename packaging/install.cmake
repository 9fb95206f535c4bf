# What `make install` installs, and the Debian packages that `make deb` makes of it. Components are the packages:
# runtime (libfractal0), development (libfractal-dev), command (fractal-lua).

# --- libraries ------------------------------------------------------------------
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/fractal)
# The .pc file names its prefix relative to itself, so that an installed tree can be moved.
file(RELATIVE_PATH pkgconfig_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(packaging/fractal.pc.in fractal.pc @ONLY)
configure_package_config_file(packaging/fractal-config.cmake.in fractal-config.cmake
	INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(fractal-config-version.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS fractal fractal_static EXPORT fractal
	LIBRARY COMPONENT runtime NAMELINK_COMPONENT development
	ARCHIVE COMPONENT development)
install(EXPORT fractal NAMESPACE fractal:: FILE fractal-targets.cmake DESTINATION ${package_dir} COMPONENT development)
install(FILES ${CMAKE_BINARY_DIR}/fractal-config.cmake ${CMAKE_BINARY_DIR}/fractal-config-version.cmake
	DESTINATION ${package_dir} COMPONENT development)
install(FILES ${CMAKE_BINARY_DIR}/fractal.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
# fractal.h includes its neighbours, so they stay together and <fractal.h> leads there.
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/fractal.h CONTENT "#include \"fractal/fractal.h\"\n")
install(FILES ${CMAKE_BINARY_DIR}/fractal.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(FILES src/abi.h src/caches.h src/caps.def src/fractal.h src/ops.def src/tables.h src/waiting.h
	DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fractal COMPONENT development)

# --- the command and what belongs to it -----------------------------------------
# These two name the command by its path, which is known only when it is installed. They are written to their place at
# once, with the permissions of the template: two installations at a time do not meet in a file.
function(install_naming_command template destination)
	install(CODE "set(FRACTAL_COMMAND \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/fractal-lua\")
		set(file \"\${CMAKE_INSTALL_PREFIX}/${destination}\")
		message(STATUS \"Installing: \$ENV{DESTDIR}\${file}\")
		configure_file(\"${PROJECT_SOURCE_DIR}/packaging/${template}\" \"\$ENV{DESTDIR}\${file}\" @ONLY)
		list(APPEND CMAKE_INSTALL_MANIFEST_FILES \"\${file}\")"
		COMPONENT command)
endfunction()
install_naming_command(mount.fractal-lua.in ${CMAKE_INSTALL_SBINDIR}/mount.fractal-lua)
install_naming_command(systemd/fractal-lua@.service.in lib/systemd/system/fractal-lua@.service)

# mount(8) looks for the second name when the type is fuse.fractal-lua.
if(NOT IS_SYMLINK ${packaging}/mount.fuse.fractal-lua)
	file(CREATE_LINK mount.fractal-lua ${packaging}/mount.fuse.fractal-lua SYMBOLIC)
endif()
foreach(name mount.fractal-lua mount.fuse.fractal-lua)
	file(GENERATE OUTPUT ${packaging}/${name}.8 CONTENT ".so man1/fractal-lua.1\n")
endforeach()

install(FILES ${packaging}/mount.fuse.fractal-lua DESTINATION ${CMAKE_INSTALL_SBINDIR} COMPONENT command)
install(FILES ${packaging}/fractal-lua.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT command)
install(FILES ${packaging}/mount.fractal-lua.8 ${packaging}/mount.fuse.fractal-lua.8
	DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT command)
install(FILES ${packaging}/fractal-lua.bash RENAME fractal-lua
	DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT command)
install(FILES ${packaging}/_fractal-lua DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT command)
install(FILES ${packaging}/fractal-lua.fish
	DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT command)
install(DIRECTORY ${CMAKE_BINARY_DIR}/types DESTINATION ${CMAKE_INSTALL_DATADIR}/fractal-lua COMPONENT command)
install(DIRECTORY examples/ DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/fractal-lua/examples COMPONENT command)

include(packaging/debian.cmake)
