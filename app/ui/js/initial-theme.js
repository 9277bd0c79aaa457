// Sets the stored theme before the page is drawn, so that it does not flash. Without one the system's theme is used.

{
  const theme = JSON.parse(localStorage.getItem("affect.theme") ?? "null");
  if (theme) document.documentElement.dataset.theme = theme;
}
