// Copy buttons: they appear only where the browser can copy. What they say afterwards stands in the page.
for (const button of document.querySelectorAll("button[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  if (!navigator.clipboard || !source) continue;
  button.hidden = false;
  const said = button.parentElement.querySelector("[role=status]");
  button.addEventListener("click", async () => {
    let words = button.dataset.done;
    try {
      await navigator.clipboard.writeText(source.innerText.trim());
    } catch {
      words = button.dataset.failed;
    }
    if (said) said.textContent = words;
    setTimeout(() => said && (said.textContent = ""), 4000);
  });
}
