#!/bin/sh
# kafka_fetch.sh [VERSION]: Apache Kafka from Maven Central, once.
#
# Prints the directory of its jars. Fails, with the reason as the last line on
# stdout, when Java or Maven is missing or Maven Central cannot be reached: the
# tests that need it then skip.
set -eu
version=${1:-3.9.2}

if [ -n "${DPIPE_CACHE:-}" ]; then
    cache=$DPIPE_CACHE
elif [ "$(id -u)" = 0 ]; then
    cache=/var/cache/dpipe      # tests run as another user, who reads it too
else
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/dpipe
fi
dir=$cache/kafka-$version

command -v java > /dev/null 2>&1 || { echo "java is not installed"; exit 1; }
# The marker is written last: a download cut off is done again.
if [ -e "$dir/complete" ]; then
    echo "$dir/lib"
    exit 0
fi
command -v mvn > /dev/null 2>&1 || { echo "maven is not installed"; exit 1; }
mkdir -p "$cache" 2> /dev/null && work=$(mktemp -d "$cache/fetch.XXXXXX" 2> /dev/null) ||
    { echo "Apache Kafka $version is not in $cache, which cannot be written"; exit 1; }
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
echo "Downloading Apache Kafka $version from Maven Central (about 70 MB, kept in $cache)" >&2

# Only for logs: without a binding a broker that fails says nothing. Kafka 4
# brings log4j 2, whose binding must be of the same version as its core.
case $version in
    3.*) group=org.slf4j artifact=slf4j-reload4j binding=1.7.36 ;;
    *) group=org.apache.logging.log4j artifact=log4j-slf4j-impl binding=2.25.5 ;;
esac

cat > "$work/pom.xml" << POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dpipe</groupId>
  <artifactId>kafka-run</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$version</version>
    </dependency>
    <dependency>
      <groupId>$group</groupId>
      <artifactId>$artifact</artifactId>
      <version>$binding</version>
    </dependency>
  </dependencies>
</project>
POM
# The plugin's version is named: Maven alone takes an old one that downloads more.
if ! (cd "$work" && timeout 600 mvn -q -B \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory=lib) > "$work/log" 2>&1; then
    sed -n 's/^.*\[ERROR\] //p' "$work/log" | head -n 1 >&2
    echo "Apache Kafka $version could not be fetched from Maven Central"
    exit 1
fi
chmod -R a+rX "$work"
touch "$work/complete"
rm -rf "$dir"
mv "$work" "$dir"
trap - EXIT
echo "$dir/lib"
