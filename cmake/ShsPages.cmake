# Man pages and the completion of shells, made by programs of this build from the tables of the commands and the
# comments of the public headers. Not where such a program cannot be run here: with a sanitizer (its memory may not
# fit), or for another machine.

if(SHS_SANITIZED OR SHS_COVERAGE OR SHS_SANITIZE OR (CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR))
  return()
endif()

file(GLOB SHS_MAN_SOURCES CONFIGURE_DEPENDS src/cmd/man/*.c)
add_executable(shs_man ${SHS_MAN_SOURCES})
target_link_libraries(shs_man PRIVATE shs_cmd)
shs_warnings(shs_man)

set(SHS_MAN_DIR ${CMAKE_CURRENT_BINARY_DIR}/man)
set(SHS_COMPLETION_DIR ${CMAKE_CURRENT_BINARY_DIR}/completion)
file(MAKE_DIRECTORY ${SHS_MAN_DIR} ${SHS_COMPLETION_DIR})
set(SHS_PAGES "")

# Written beside and moved: a page that failed half-way is not there.
function(shs_made out)
  cmake_parse_arguments(PARSE_ARGV 1 made "" "" "COMMAND;DEPENDS")
  add_custom_command(OUTPUT ${out} COMMAND ${made_COMMAND} > ${out}.new
                     COMMAND ${CMAKE_COMMAND} -E rename ${out}.new ${out}
                     DEPENDS ${made_DEPENDS} VERBATIM)
  set(SHS_PAGES ${SHS_PAGES} ${out} PARENT_SCOPE)
endfunction()

# Debian has its pages compressed, without a time in them.
find_program(SHS_GZIP gzip)
mark_as_advanced(SHS_GZIP)
if(SHS_GZIP AND CMAKE_INSTALL_PREFIX STREQUAL /usr)
  set(SHS_MAN_GZIP ON)
endif()

# shs_install_page(PAGE component): to the section that its name ends with.
macro(shs_install_page page component)
  string(REGEX MATCH "[0-9]$" section ${page})
  set(file ${SHS_MAN_DIR}/${page})
  if(SHS_MAN_GZIP)
    shs_made(${file}.gz COMMAND ${SHS_GZIP} -9nc ${file} DEPENDS ${file})
    set(file ${file}.gz)
  endif()
  install(FILES ${file} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT ${component})
endmacro()

# shs/shs.h only lists the others.
set(SHS_MAN_HEADERS ${SHS_HEADERS})
list(FILTER SHS_MAN_HEADERS EXCLUDE REGEX "/shs/shs\\.h$")
file(GLOB SHS_MAN_TEMPLATES CONFIGURE_DEPENDS src/cmd/man/*.in)
foreach(template ${SHS_MAN_TEMPLATES})
  get_filename_component(page ${template} NAME_WLE)
  shs_made(${SHS_MAN_DIR}/${page} COMMAND shs_man page ${template} ${SHS_MAN_HEADERS}
           DEPENDS shs_man ${template} ${SHS_MAN_HEADERS})
  if(page MATCHES "7$")
    shs_install_page(${page} dev)
  else()
    shs_install_page(${page} cmd)
  endif()
endforeach()

foreach(header ${SHS_MAN_HEADERS})
  get_filename_component(name ${header} NAME_WE)
  shs_made(${SHS_MAN_DIR}/shs_${name}.3 COMMAND shs_man header "November 28, 2026" ${header}
           DEPENDS shs_man ${header})
  shs_install_page(shs_${name}.3 dev)
endforeach()

# Debian's zsh looks into vendor-completions, others into site-functions.
if(CMAKE_INSTALL_PREFIX STREQUAL /usr AND EXISTS /etc/debian_version)
  set(zsh_dir ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
else()
  set(zsh_dir ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()
foreach(row "bash:shs:${CMAKE_INSTALL_DATADIR}/bash-completion/completions" "zsh:_shs:${zsh_dir}"
            "fish:shs.fish:${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
  string(REPLACE ":" ";" row ${row})
  list(GET row 0 shell)
  list(GET row 1 name)
  list(GET row 2 dir)
  shs_made(${SHS_COMPLETION_DIR}/${name} COMMAND shs completion ${shell} DEPENDS shs)
  install(FILES ${SHS_COMPLETION_DIR}/${name} DESTINATION ${dir} COMPONENT cmd)
endforeach()

add_custom_target(shs_pages ALL DEPENDS ${SHS_PAGES})
