# Adds a package's copyright and changelog, and compresses its manual pages. Packages are installed by component; an
# ordinary installation takes all components at once and needs none of this.
if(CMAKE_INSTALL_COMPONENT)
	set(share ${CMAKE_INSTALL_PREFIX}/${data})
	file(INSTALL ${source}/copyright ${changelog} DESTINATION ${share}/doc/${package})
	set(share $ENV{DESTDIR}${share})
	file(GLOB pages ${share}/man/*/*.[1-8])
	execute_process(COMMAND gzip -9nf ${share}/doc/${package}/changelog ${pages} COMMAND_ERROR_IS_FATAL ANY)
endif()
